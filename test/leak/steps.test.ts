// What is done again and again must not take more and more memory. A step that loses one of its arrays loses 1 MiB.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram } from '../engine/program.ts';

const MEBIBYTE = 1 << 20;
/** Growth is mostly below 2 MiB; once in a while the process takes some pages more and keeps them. */
const ALLOWED = 64 * MEBIBYTE;
// glibc: one arena, and larger blocks straight from and to the system, so that what is in use can be told.
process.env.MALLOC_ARENA_MAX = '1';
process.env.MALLOC_MMAP_THRESHOLD_ = '65536';

const PROGRAM = new URL('programs/steps.ts', import.meta.url);

for (const [name, what, warmUp, times] of [
  ['a thousand train steps', 'trainStep', 300, 1000],
  ['steps that fail', 'failingStep', 50, 200],
  ['eager ops', 'eagerStep', 50, 200],
  ['runtimes that are closed', 'runtimeStep', 10, 100],
] as const) {
  test(`${name} give back what they took`, async () => {
    const { code, stdout, stderr } = await runProgram(PROGRAM, what, String(warmUp), String(times));
    assert.equal(code, 0, stderr);
    const { bytes, tensors } = JSON.parse(stdout) as { bytes: number; tensors: number };
    assert.equal(tensors, 0);
    assert.ok(bytes < ALLOWED, `memory grew by ${(bytes / MEBIBYTE).toFixed(1)} MiB`);
  });
}
