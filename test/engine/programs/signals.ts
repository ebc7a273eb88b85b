// Multiplies matrices for a second, in this thread and in others, while another process sends it signals whose handler
// runs each time; prints how many came, and the masks of the threads that run ops.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { HostTensor } from '../../../src/engine/native/tensor.ts';
import { affine } from '../../../src/engine/ops/linear-algebra.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, tf } from '../../../src/engine/tfjs/tf.ts';
import { maskOf } from '../signal-mask.ts';

const [ROWS, WIDTH] = [9, 256];
const SECONDS = 1;

/** Whether ops run in the thread: not in those of the graph's shapes. */
const computes = (thread: string): boolean =>
  readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === 'tf_Compute';

let came = 0;
process.on('SIGWINCH', () => came++);

const runtime = new Runtime();
const matrix = (rows: number): HostTensor => ({
  dtype: 'float32',
  shape: [rows, WIDTH],
  data: Float32Array.from({ length: rows * WIDTH }, (_, i) => Math.sin(i) / 32),
});
const inputs = { x: matrix(ROWS), w: matrix(WIDTH) };
const product = ({ x, w }: Record<'x' | 'w', Tensor>) => {
  let y = x;
  for (let i = 0; i < 8; i++) y = affine(y as Tensor2D, w, tf.zeros([WIDTH]));
  return { y };
};
const here = runtime.compile('in this thread', product, { inOneThread: true });
const elsewhere = runtime.compile('in any thread', product);
const expected = { here: (await here(inputs)).y.data, elsewhere: (await elsewhere(inputs)).y.data };

const sender = spawn('sh', ['-c', 'while kill -WINCH "$0"; do sleep 0.002; done', String(process.pid)]);
const end = performance.now() + 1000 * SECONDS;
let runs = 0;
while (performance.now() < end || came === 0) {
  // More of those that block: elsewhere this thread is idle and takes the signals.
  for (let i = 0; i < 50; i++) await here(inputs);
  const [a, b] = [await here(inputs), await elsewhere(inputs)];
  if (Buffer.compare(Buffer.from(a.y.data.buffer), Buffer.from(expected.here.buffer)) !== 0)
    throw new Error('in this thread: another product');
  if (Buffer.compare(Buffer.from(b.y.data.buffer), Buffer.from(expected.elsewhere.buffer)) !== 0)
    throw new Error('in any thread: another product');
  runs++;
}
sender.kill();
const masks = readdirSync('/proc/self/task').filter(computes).map(maskOf);
await runtime.close();
console.log(JSON.stringify({ runs, came, masks }));
