// Prints how many threads TensorFlow starts for another session, and for one with one thread beside it.

import { readdirSync } from 'node:fs';
import type { HostTensor } from '../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { useOwnThreads } from '../../../src/engine/session/threads.ts';
import { type Tensor, type Tensor2D, tf } from '../../../src/engine/tfjs/tf.ts';

const x: HostTensor = { dtype: 'float32', shape: [64, 64], data: new Float32Array(64 * 64).fill(1) };

/** Threads of this process once the runtime has computed something. */
async function threadsWith(runtime: Runtime): Promise<number> {
  const product = runtime.compile('product', (inputs: { x: Tensor }) => ({
    y: tf.matMul(inputs.x as Tensor2D, inputs.x as Tensor2D),
  }));
  await product({ x });
  return readdirSync('/proc/self/task').length;
}

useOwnThreads();
const first = new Runtime();
const before = await threadsWith(first);
const another = await threadsWith(new Runtime());
const one = await threadsWith(first.withOneThread());
console.log(JSON.stringify({ another: another - before, one: one - another }));
