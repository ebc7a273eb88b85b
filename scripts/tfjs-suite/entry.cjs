// What the bundle holds: tfjs-core's op tests, defined over tfjs-node's kernels on the given binding.
// The requires run in this order on purpose: the tests want the backend and Jasmine's globals to be there.

exports.defineSuite = (binding) => {
  require('@tensorflow/tfjs-node-gpu/dist/register_all_kernels');
  const tf = require('@tensorflow/tfjs');
  require('@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops');
  require('@tensorflow/tfjs-core/dist/register_all_gradients');
  const { NodeJSKernelBackend } = require('@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend');
  tf.registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, 'op tests'), 3);
  tf.setBackend('tensorflow');
  require('@tensorflow/tfjs-core/dist/jasmine_util').setTestEnvs([
    { name: 'test-tensorflow', backendName: 'tensorflow', flags: {}, isDataSync: true },
  ]);
  require('@tensorflow/tfjs-core/dist/tests');
};
