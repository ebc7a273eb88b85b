// A runtime with one thread inside each op, beside one with all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { threadsInUse } from '../../src/engine/session/threads.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { normals } from './compare.ts';
import { runProgram } from './program.ts';

const product = ({ x, w }: { x: Tensor; w: Tensor }) => ({ y: tf.matMul(x as Tensor2D, w as Tensor2D) });

test('a runtime with one thread gives the same product, and ends with its first', async () => {
  const runtime = new Runtime();
  const beside = runtime.withOneThread();
  assert.notEqual(beside, runtime);
  const inputs = { x: normals([4, 256], 'x'), w: normals([256, 512], 'w') };
  const [all, one] = [runtime, beside].map((own) => own.compile('product', product, { inOneThread: true }));
  for (let i = 0; i < 3; i++) assert.deepEqual((await one!(inputs)).y.data, (await all!(inputs)).y.data);
  await runtime.close();
  await assert.rejects(one!(inputs), /after the runtime was closed/);
});

test('it has one thread where sessions have separate ones', {
  skip: process.platform !== 'linux',
}, async () => {
  const { code, stdout, stderr } = await runProgram(new URL('programs/own-threads.ts', import.meta.url));
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(JSON.parse(stdout), { another: threadsInUse(), one: 1 });
});
