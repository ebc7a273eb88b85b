// Counts and records of `mm data check` whose memory is bounded.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DifferentTexts, FrequentTexts } from '../../../../src/data/check/frequent.ts';
import { RecordFile } from '../../../../src/data/check/record-file.ts';
import { Sizes } from '../../../../src/data/check/sizes.ts';
import { RandomStream } from '../../../../src/util/random.ts';

const random = new RandomStream('bounded');
/** Words of which some are frequent, as in a language. */
const words = Array.from({ length: 20_000 }, () => `w${Math.floor(3 / (random.uniform() + 1e-4))}`);
const exact = new Map<string, number>();
for (const word of words) exact.set(word, (exact.get(word) ?? 0) + 1);

test('counts are exact while there is room, then too low by no more than is said', () => {
  const all = new FrequentTexts();
  for (const word of words) all.add(word);
  assert.equal(all.error, 0);
  assert.deepEqual(new Map(all.top(1e9).map(({ text, count }) => [text, count])), exact);
  const few = new FrequentTexts(200);
  for (const word of words) few.add(word);
  assert.ok(few.error > 0 && few.error < words.length / 100, `${few.error}`);
  const kept = new Map(few.top(1e9).map(({ text, count }) => [text, count]));
  assert.ok(kept.size <= 200);
  for (const [word, count] of exact) {
    const found = kept.get(word) ?? 0;
    assert.ok(found <= count && found >= count - few.error, `${word}: ${found} of ${count}`);
  }
});

test('different texts are counted, then estimated', () => {
  const all = new DifferentTexts();
  for (const word of words) all.add(word);
  assert.deepEqual([all.count, all.share], [exact.size, 1]);
  const sampled = new DifferentTexts(256);
  for (const word of words) sampled.add(word);
  assert.ok(sampled.share > 1);
  assert.ok(Math.abs(sampled.count / exact.size - 1) < 0.2, `${sampled.count} of ${exact.size}`);
});

test('records come back, from memory and from the file', async () => {
  const file = new RecordFile<{ readonly i: number; readonly text: string }>();
  const record = (i: number) => ({ i, text: `line ${i}\n“${'é'.repeat(i % 5)}”` });
  for (let i = 0; i < 600; i++) {
    await file.add(record(i));
    for (const some of [0, i >> 1, i]) if (i % 97 === 0) assert.deepEqual(await file.get(some), record(some));
  }
  for (const i of [0, 255, 256, 511, 512, 599]) assert.deepEqual(await file.get(i), record(i));
  await file.close();
});

test('extreme and small images are those of sorting all', () => {
  const sizes = new Sizes<number>();
  const all = Array.from({ length: 300 }, (_, i) => {
    const [width, height] = [4 + random.integer(400), 100 + random.integer(300)];
    sizes.add({ format: 'png', width, height }, i);
    return { i, aspect: Math.max(width / height, height / width), side: Math.min(width, height) };
  });
  const extremes = all.filter(({ aspect }) => aspect > 2).sort((a, b) => b.aspect - a.aspect);
  const median = all.map(({ side }) => side).sort((a, b) => a - b)[150] as number;
  const small = all.filter(({ side }) => 2 * side < median).sort((a, b) => a.side - b.side);
  assert.ok(extremes.length > 18 && small.length > 18);
  const first = (some: typeof all) => ({ count: some.length, first: some.slice(0, 18).map(({ i }) => i) });
  assert.deepEqual(sizes.extremes, first(extremes));
  assert.deepEqual(sizes.small, first(small));
});
