// Repeated steps must not take more and more memory. A step that leaks one of its arrays leaks 1 MiB.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram } from '../engine/program.ts';

const MEBIBYTE = 1 << 20;
/** Growth is mostly below 2 MiB; sometimes the process takes more pages and keeps them. */
const ALLOWED = 64 * MEBIBYTE;
// glibc: one arena, and larger blocks directly from the system, so that memory in use can be measured.
process.env.MALLOC_ARENA_MAX = '1';
process.env.MALLOC_MMAP_THRESHOLD_ = '65536';

const PROGRAM = new URL('programs/steps.ts', import.meta.url);

for (const [name, what, warmUp, times] of [
  ['a thousand train steps', 'trainStep', 300, 1000],
  ['steps that fail', 'failingStep', 50, 200],
  ['eager ops', 'eagerStep', 50, 200],
  ['runtimes that are closed', 'runtimeStep', 10, 100],
] as const) {
  test(`${name} free their memory`, async () => {
    const { code, stdout, stderr } = await runProgram(PROGRAM, what, String(warmUp), String(times));
    assert.equal(code, 0, stderr);
    const { bytes, tensors } = JSON.parse(stdout) as { bytes: number; tensors: number };
    assert.equal(tensors, 0);
    assert.ok(bytes < ALLOWED, `memory grew by ${(bytes / MEBIBYTE).toFixed(1)} MiB`);
  });
}
