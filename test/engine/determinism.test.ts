import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram } from './program.ts';

const PROGRAM = new URL('programs/train.ts', import.meta.url);

test('training gives the same bits in another process, and other bits with another seed', async () => {
  const digests: string[] = [];
  for (const seed of [1, 1, 2]) {
    const { stdout, stderr, code } = await runProgram(PROGRAM, String(seed));
    assert.equal(code, 0, stderr);
    digests.push(stdout.trim());
  }
  assert.match(digests[0]!, /^[0-9a-f]{64}$/);
  assert.equal(digests[1], digests[0]);
  assert.notEqual(digests[2], digests[0]);
});
