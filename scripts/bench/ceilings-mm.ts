// What the machine reaches at most through TensorFlow: a product of two square matrices, or reading numbers once.
// ceilings-mm.ts product SIZE | read BYTES

import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { RandomStream } from '../../src/util/random.ts';
import { serve } from './in-turn.ts';

const [what, given] = process.argv.slice(2);
const shape = what === 'product' ? [Number(given), Number(given)] : [Number(given) / 4];

await serve(async () => {
  const runtime = new Runtime();
  const variable = runtime.variable('numbers', shape);
  const load = runtime.compile('load', ({ value }: { value: Tensor }) => {
    variable.assign(value);
    return {};
  });
  const random = new RandomStream('ceilings');
  const data = new Float32Array(shape.reduce((a, b) => a * b));
  for (const i of data.keys()) data[i] = random.uniform(-1, 1);
  await load({ value: { dtype: 'float32', shape, data } });
  const step = runtime.compile('step', () => {
    const x = variable.read();
    if (what === 'read') return { value: tf.sum(x) };
    return { value: tf.matMul(x as Tensor2D, x as Tensor2D).slice([0, 0], [1, 1]) };
  });
  return async () => (await step({})).value.data[0] as number;
});
