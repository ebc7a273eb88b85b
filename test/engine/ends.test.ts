// Every way to end a program gives the right exit code and output, and TensorFlow does not crash it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { ended, runProgram, startProgram } from './program.ts';

const PROGRAM = new URL('programs/ends.ts', import.meta.url);

describe('a program that', () => {
  for (const way of ['closed', 'forgotten']) {
    test(`ends with its runtime ${way} keeps all its output`, async () => {
      const { code, signal, stdout, stderr } = await runProgram(PROGRAM, way);
      assert.deepEqual([code, signal, stderr], [0, null, '']);
      assert.equal(stdout, `${'x'.repeat(1 << 20)}\n`);
    });
  }

  test('has an exit listener gets it called', async () => {
    const { code, stdout, stderr } = await runProgram(PROGRAM, 'with a listener');
    assert.deepEqual([code, stdout, stderr], [3, 'listened\n', '']);
  });

  test('exits during a run ends at once, with its exit code', async () => {
    const end = await runProgram(PROGRAM, 'exit in a run');
    assert.deepEqual(end, { code: 7, signal: null, stdout: 'running\n', stderr: '' });
  });

  for (const [way, message] of [
    ['error in a run', 'Error: thrown in a callback'],
    ['rejection in a run', 'Error: nobody catches this'],
  ] as const) {
    test(`ends by an ${way} prints the error`, async () => {
      const { code, signal, stdout, stderr } = await runProgram(PROGRAM, way);
      assert.deepEqual([code, signal, stdout], [1, null, 'running\n']);
      assert.ok(stderr.includes(message), stderr);
      assert.ok(stderr.trimEnd().endsWith(`Node.js ${process.version}`), stderr);
    });
  }

  test('is interrupted during a run ends at once, by the signal', async () => {
    const child = startProgram(PROGRAM, 'interrupt in a run');
    const end = ended(child);
    await once(child.stdout!, 'data');
    child.kill('SIGINT');
    assert.deepEqual(await end, { code: null, signal: 'SIGINT', stdout: 'running\n', stderr: '' });
  });

  test('handles the interrupt can wait for the run and close the runtime', async () => {
    const child = startProgram(PROGRAM, 'interrupt, caught');
    const end = ended(child);
    await once(child.stdout!, 'data');
    child.kill('SIGINT');
    assert.deepEqual(await end, {
      code: 130,
      signal: null,
      stdout: 'running\nrun ended\nclosed\n',
      stderr: '',
    });
  });
});
