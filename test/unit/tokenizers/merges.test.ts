import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Merge, MergeTable } from '../../../src/tokenizers/merges.ts';
import { RandomStream } from '../../../src/util/random.ts';

/** The obvious way: look for the lowest rank, merge its leftmost place, look again. */
function slowly(
  word: readonly number[],
  merges: readonly Merge[],
  isDropped = (): boolean => false,
): number[] {
  let symbols = [...word];
  for (;;) {
    const places = symbols.slice(1).flatMap((right, left) => {
      const rank = merges.findIndex((merge) => merge.left === symbols[left] && merge.right === right);
      return rank >= 0 ? [{ rank, left }] : [];
    });
    places.sort((a, b) => a.rank - b.rank || a.left - b.left);
    const place = places.find(() => !isDropped());
    if (place === undefined) return symbols;
    symbols = symbols.with(place.left, merges[place.rank]!.result).toSpliced(place.left + 1, 1);
  }
}

/** Merges over a few letters, each of two symbols there are by then. */
function randomMerges(random: RandomStream, letters: number, count: number): Merge[] {
  const merges = new Map<string, Merge>();
  while (merges.size < count) {
    const result = letters + merges.size;
    const [left, right] = [random.integer(result), random.integer(result)];
    if (!merges.has(`${left} ${right}`)) merges.set(`${left} ${right}`, { left, right, result });
  }
  return [...merges.values()];
}

const randomWord = (random: RandomStream, letters: number, length: number): number[] =>
  Array.from({ length }, () => random.integer(letters));

describe('merging a word', () => {
  test('gives the same as the slow, obvious algorithm', () => {
    const random = new RandomStream('merges');
    for (let i = 0; i < 300; i++) {
      const letters = 1 + random.integer(4);
      const merges = randomMerges(random, letters, 1 + random.integer(12));
      const table = new MergeTable(merges, letters + merges.length);
      const word = randomWord(random, letters, random.integer(40));
      assert.deepEqual(table.apply(word), slowly(word, merges));
    }
  });

  test('leaves a word of one symbol or none', () => {
    const table = new MergeTable([{ left: 0, right: 0, result: 1 }], 2);
    assert.deepEqual(table.apply([]), []);
    assert.deepEqual(table.apply([0]), [0]);
  });

  test('handles a very long word', () => {
    const table = new MergeTable(
      [
        { left: 0, right: 0, result: 1 },
        { left: 1, right: 1, result: 2 },
      ],
      3,
    );
    assert.equal(table.apply(new Uint8Array(100_000)).length, 25_000);
  });
});

describe('dropout', () => {
  test('gives each result as often as the slow, obvious algorithm', () => {
    const random = new RandomStream('dropout');
    const merges: Merge[] = [
      { left: 0, right: 1, result: 2 },
      { left: 1, right: 0, result: 3 },
      { left: 2, right: 2, result: 4 },
      { left: 0, right: 0, result: 5 },
      { left: 1, right: 3, result: 6 },
    ];
    const table = new MergeTable(merges, 7);
    const word = [0, 1, 0, 1, 1, 0, 0];
    const isDropped = (): boolean => random.uniform() < 0.4;
    const runs = 20_000;
    const share = (draw: () => number[]): Map<string, number> => {
      const counts = new Map<string, number>();
      for (let i = 0; i < runs; i++) {
        const key = draw().join();
        counts.set(key, (counts.get(key) ?? 0) + 1 / runs);
      }
      return counts;
    };
    const fast = share(() => table.apply(word, isDropped));
    const slow = share(() => slowly(word, merges, isDropped));
    assert.ok(slow.size > 4, 'there is something to compare');
    for (const key of new Set([...fast.keys(), ...slow.keys()])) {
      const difference = Math.abs((fast.get(key) ?? 0) - (slow.get(key) ?? 0));
      assert.ok(difference < 0.02, `${key}: ${fast.get(key)} against ${slow.get(key)}`);
    }
  });

  test('of every merge leaves the symbols', () => {
    const table = new MergeTable([{ left: 0, right: 0, result: 1 }], 2);
    assert.deepEqual(
      table.apply([0, 0, 0], () => true),
      [0, 0, 0],
    );
  });
});
