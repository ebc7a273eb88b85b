// tfjs and tfjs-node's kernels, which must share one instance of it. Not the package tfjs-node-gpu as a whole: that
// would load its native addon. `npm run build` makes one file of this and all that it requires (scripts/bundle.mjs).

exports.tf = require('@tensorflow/tfjs');
exports.NodeJSKernelBackend =
  require('@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend').NodeJSKernelBackend;
require('@tensorflow/tfjs-node-gpu/dist/register_all_kernels');
