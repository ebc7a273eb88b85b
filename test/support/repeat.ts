// Tests that a run repeats itself: the same seed gives the same run, bit for bit, and a resumed run equals an
// uninterrupted one.

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { InterruptedError } from '../../src/util/errors.ts';
import { digests, lasting, type SessionOptions, type TrainSession } from './tiny-runs.ts';

export interface RepeatCase {
  readonly name: string;
  readonly session: (seed: number) => TrainSession;
  /** Where the run is interrupted, one place after the other. */
  readonly stops: readonly NonNullable<SessionOptions['stop']>[];
}

/** Declares the tests of each case; its runs are in folders under `root`. */
export function testRepeats(root: string, cases: readonly RepeatCase[]): void {
  for (const [index, { name, session, stops }] of cases.entries()) {
    describe(name, () => {
      const train = session(1);
      const folder = (what: string): string => join(root, `${index} ${what}`);
      const whole = folder('whole');
      before(async () => {
        await train(whole);
        const files = lasting(whole);
        for (const part of ['model', 'ema', 'optimizer'])
          assert.ok(files[`checkpoints/step-10/${part}.safetensors`], part);
        assert.ok(files['metrics.jsonl']);
        assert.ok(files['samples/step-10.png']);
      });

      const places = stops.map(({ label, at }) => `${label} at ${at}`).join(', ');
      test(`a run stopped in ${places}, and resumed each time, equals an uninterrupted one`, async () => {
        const run = folder('stopped');
        for (const [i, stop] of stops.entries())
          await assert.rejects(train(run, { stop, resume: i > 0 }), InterruptedError);
        await train(run, { resume: true });
        const files = lasting(run);
        const expected = lasting(whole);
        // Ctrl-C made checkpoints, which may have pushed out older ones.
        const isOld = (file: string): boolean => /^checkpoints\/step-(?!10\/)/.test(file);
        const late = (all: Record<string, string>) =>
          Object.fromEntries(Object.entries(all).filter(([file]) => !isOld(file)));
        assert.deepEqual(late(files), late(expected));
      });

      // A trainer shows the rest once: that a resumed run repeats a whole one shows it for the other settings.
      if (index > 0) return;

      test('the same seed gives the same checkpoints, metrics and images, byte for byte', async () => {
        await train(folder('again'));
        const files = lasting(folder('again'));
        assert.deepEqual(files, lasting(whole));
      });

      test('another seed gives other weights', async () => {
        await session(2)(folder('other'));
        const model = 'checkpoints/step-10/model.safetensors';
        assert.notEqual(digests(folder('other'))[model], digests(whole)[model]);
      });

      test('resuming a finished run changes nothing', async () => {
        const before = lasting(whole);
        const { mtimeMs } = statSync(join(whole, 'checkpoints/step-10/state.json'));
        const { checkpoint, steps, evaluation, lastLoss } = await train(whole, { resume: true });
        assert.equal(checkpoint, join(whole, 'checkpoints', 'step-10'));
        assert.equal(steps, 10);
        assert.equal(lastLoss, undefined);
        assert.ok(Object.keys(evaluation).length > 0);
        assert.deepEqual(lasting(whole), before);
        assert.equal(statSync(join(whole, 'checkpoints/step-10/state.json')).mtimeMs, mtimeMs);
      });
    });
  }
}
