import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSoonerByOneThread } from '../../../../src/engine/session/threads.ts';
import { setEnvironment } from '../../../support/environment.ts';

test('one thread makes the steps of small models, and two those that read or multiply more', (t) => {
  setEnvironment(t, { TF_NUM_INTRAOP_THREADS: '2' });
  // Of widths 128, 256 and 1024, gated.
  const [demo, small, large] = [128 * 512, 256 * 2048, 1024 * 8192] as const;
  assert.deepEqual(
    [isSoonerByOneThread(64, demo), isSoonerByOneThread(4, small), isSoonerByOneThread(16, small)],
    [true, true, false],
  );
  assert.deepEqual([isSoonerByOneThread(1, large), isSoonerByOneThread(4, large)], [false, false]);
});

test('more than two threads are kept', (t) => {
  setEnvironment(t, { TF_NUM_INTRAOP_THREADS: '4' });
  assert.equal(isSoonerByOneThread(4, 256 * 2048), false);
});

test('without AVX-512 a single row has two threads', (t) => {
  setEnvironment(t, { TF_NUM_INTRAOP_THREADS: '2', ONEDNN_MAX_CPU_ISA: 'AVX2' });
  assert.deepEqual(
    [1, 4].map((rows) => isSoonerByOneThread(rows, 256 * 2048)),
    [false, true],
  );
});
