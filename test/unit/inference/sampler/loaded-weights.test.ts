import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Variable } from '../../../../src/engine/tfjs/variable.ts';
import { LoadedWeights } from '../../../../src/inference/sampler/loaded-weights.ts';

const [A, B, C] = ['a', 'b', 'c'].map((name) => ({ name }) as Variable) as [Variable, Variable, Variable];

/** Weights of which each pass is moved on by the test. */
function passes() {
  const begun: { set: (...weights: Variable[]) => void; end: () => void; fail: (error: Error) => void }[] =
    [];
  const loaded = new LoadedWeights([A, B, C], (onSet) => {
    return new Promise<void>((resolve, reject) => {
      begun.push({ set: (...weights) => onSet(weights), end: resolve, fail: reject });
    });
  });
  return { loaded, begun };
}

/** Whether a promise has settled, once all that can go on has. */
async function hasEnded(promise: Promise<unknown>): Promise<boolean> {
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  promise.then(end, end);
  await setImmediate();
  return ended;
}

test('some weights are there before all are, and all when they are known to be right', async () => {
  const { loaded, begun } = passes();
  const [some, all, verified] = [loaded.some([A, B]), loaded.all(), loaded.verified()];
  begun[0]!.set(A);
  assert.equal(await hasEnded(some), false);
  begun[0]!.set(B);
  assert.equal(await hasEnded(some), true);
  assert.equal(await hasEnded(loaded.some([B, A])), true);
  begun[0]!.set(C);
  assert.equal(await hasEnded(Promise.race([all, verified])), false);
  begun[0]!.end();
  await Promise.all([all, verified, loaded.all(), loaded.some([C])]);
  assert.equal(begun.length, 1);
});

test('those that were given back are loaded again, where they are needed', async () => {
  const { loaded, begun } = passes();
  begun[0]!.set(A, B, C);
  begun[0]!.end();
  await loaded.all();
  loaded.givenBack([B]);
  await Promise.all([loaded.some([A, C]), loaded.verified()]);
  assert.equal(begun.length, 1);
  const [some, all] = [loaded.some([A, B]), loaded.all()];
  assert.equal(await hasEnded(Promise.race([some, all])), false);
  assert.equal(begun.length, 2);
  begun[1]!.set(A, B, C);
  await some;
  begun[1]!.end();
  await all;
});

test('a failure is thrown to all that wait, and to those that come later', async () => {
  const { loaded, begun } = passes();
  const waiting = [loaded.all(), loaded.some([C]), loaded.verified()];
  begun[0]!.set(A, B);
  begun[0]!.fail(new Error('damaged'));
  for (const each of waiting) await assert.rejects(each, /damaged/);
  await assert.rejects(loaded.verified(), /damaged/);
  // Nothing of a damaged file counts as there.
  const again = loaded.some([A]);
  assert.equal(begun.length, 2);
  begun[1]!.fail(new Error('still damaged'));
  await assert.rejects(again, /still damaged/);
});
