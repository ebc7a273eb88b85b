// Counts of the pairs of adjacent symbols in a set of words, updated while pairs are merged.

import { PriorityQueue } from './priority-queue.ts';

export interface Pair {
  readonly left: number;
  readonly right: number;
  readonly count: number;
}

interface Entry {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Words that contain the pair or did so earlier. */
  readonly words: Set<number>;
}

/** Bound on symbols, so that a pair is one exact number. */
const MAX_SYMBOLS = 2 ** 26;

export class PairCounts {
  readonly #words: number[][] = [];
  readonly #wordCounts: number[] = [];
  readonly #entries = new Map<number, Entry>();
  /** Ordered by the count when it was queued; `mostFrequent` corrects counts that have fallen since. */
  readonly #queue = new PriorityQueue<Pair>(
    (a, b) => a.count > b.count || (a.count === b.count && (a.left - b.left || a.right - b.right) < 0),
  );
  /** Pairs whose count rose since the queue was last filled. */
  readonly #risen = new Set<Entry>();

  /** Adds a word that occurs `count` times. */
  add(symbols: number[], count: number): void {
    const word = this.#words.push(symbols) - 1;
    this.#wordCounts.push(count);
    for (let i = 0; i + 1 < symbols.length; i++) {
      this.#change(word, symbols[i] as number, symbols[i + 1] as number, 1);
    }
  }

  /** Removes and returns the most frequent pair, lowest symbols first among equals; undefined when none is left. */
  mostFrequent(): Pair | undefined {
    for (const { left, right, count } of this.#risen) {
      if (count > 0) this.#queue.push({ left, right, count });
    }
    this.#risen.clear();
    for (;;) {
      const pair = this.#queue.pop();
      if (pair === undefined) return undefined;
      const count = this.#entries.get(pair.left * MAX_SYMBOLS + pair.right)?.count ?? 0;
      if (count === pair.count) return pair;
      if (count > 0) this.#queue.push({ ...pair, count });
    }
  }

  /** Replaces the pair by one symbol in all words. */
  merge({ left, right }: Pair, result: number): void {
    const key = left * MAX_SYMBOLS + right;
    const { words } = this.#entries.get(key) as Entry;
    for (const word of words) this.#mergeIn(word, left, right, result);
    this.#entries.delete(key);
  }

  #mergeIn(word: number, left: number, right: number, result: number): void {
    const symbols = this.#words[word] as number[];
    const merged: number[] = [];
    for (let i = 0; i < symbols.length; i++) {
      if (symbols[i] !== left || symbols[i + 1] !== right) {
        merged.push(symbols[i] as number);
        continue;
      }
      const before = merged.at(-1);
      const after = symbols[i + 2];
      if (before !== undefined) {
        this.#change(word, before, left, -1);
        this.#change(word, before, result, 1);
      }
      if (after !== undefined) {
        this.#change(word, right, after, -1);
        this.#change(word, result, after, 1);
      }
      merged.push(result);
      i++;
    }
    this.#words[word] = merged;
  }

  #change(word: number, left: number, right: number, sign: 1 | -1): void {
    const key = left * MAX_SYMBOLS + right;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { left, right, count: 0, words: new Set() };
      this.#entries.set(key, entry);
    }
    entry.count += sign * (this.#wordCounts[word] as number);
    if (sign > 0) {
      entry.words.add(word);
      this.#risen.add(entry);
    }
  }
}
