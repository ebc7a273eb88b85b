// A signal's handler that runs while TensorFlow computes leaves the heap as it is.

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, test } from 'node:test';
import { withSignalsHeld } from '../../src/engine/native/signals.ts';
import { run } from '../support/mm.ts';
import { programFile, TYPESCRIPT } from '../support/typescript.ts';
import { holds, maskOf } from './signal-mask.ts';

const PROGRAM = new URL('programs/signals.ts', import.meta.url);
const { SIGWINCH, SIGINT, SIGSEGV } = constants.signals;
/** Where the kernels are that it is about, and the system says which signals a thread holds. */
const skip = process.platform !== 'linux' || process.arch !== 'x64';

describe('signals', { skip }, () => {
  test('but those of faults are held during a call, and no longer', () => {
    const before = maskOf();
    const during = withSignalsHeld(() => maskOf())();
    const held = (mask: string): boolean[] =>
      [SIGWINCH, SIGINT, SIGSEGV].map((signal) => holds(mask, signal));
    assert.deepEqual(held(before), [false, false, false]);
    assert.deepEqual(held(during), [true, true, false]);
    assert.equal(maskOf(), before);
    const fails = withSignalsHeld(() => {
      throw new Error('in the call');
    });
    assert.throws(fails, /in the call/);
    assert.equal(maskOf(), before);
  });

  test("that come during products change neither these nor the heap, and TensorFlow's threads hold them", async () => {
    // Separate pages for each block of a product: what is before it is glibc's, which notices.
    const env = { GLIBC_TUNABLES: 'glibc.malloc.mmap_threshold=4096' };
    const { code, stdout, stderr } = await run([process.execPath, ...TYPESCRIPT, programFile(PROGRAM)], {
      env,
    });
    assert.deepEqual([code, stderr], [0, '']);
    const { came, runs, masks } = JSON.parse(stdout);
    assert.ok(came > 20 && runs > 1, stdout);
    assert.ok(masks.length > 0 && masks.every((mask: string) => holds(mask, SIGWINCH)), stdout);
  });
});
