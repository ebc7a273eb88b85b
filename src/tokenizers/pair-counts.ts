// How often each pair of neighbouring symbols occurs in a set of words, kept up to date while pairs are merged.

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
  /** Words that hold the pair, or did. */
  readonly words: Set<number>;
}

/** Symbols are below this, so that a pair is one exact number. */
const SYMBOLS = 2 ** 26;

export class PairCounts {
  readonly #words: number[][] = [];
  readonly #wordCounts: number[] = [];
  readonly #entries = new Map<number, Entry>();
  /** By count as it was when queued; `mostFrequent` corrects entries that have fallen since. */
  readonly #queue = new PriorityQueue<Pair>(
    (a, b) => a.count > b.count || (a.count === b.count && (a.left - b.left || a.right - b.right) < 0),
  );
  /** Pairs counted since the queue was last filled. */
  readonly #fresh = new Set<Entry>();

  /** Adds a word that occurs `count` times. */
  add(symbols: number[], count: number): void {
    const word = this.#words.push(symbols) - 1;
    this.#wordCounts.push(count);
    for (let i = 0; i + 1 < symbols.length; i++) {
      this.#change(word, symbols[i] as number, symbols[i + 1] as number, 1);
    }
  }

  /** Takes out the pair that occurs most, the lowest symbols first among equals; undefined when none is left. */
  mostFrequent(): Pair | undefined {
    for (const { left, right, count } of this.#fresh) {
      if (count > 0) this.#queue.push({ left, right, count });
    }
    this.#fresh.clear();
    for (;;) {
      const pair = this.#queue.pop();
      if (pair === undefined) return undefined;
      const count = this.#entries.get(pair.left * SYMBOLS + pair.right)?.count ?? 0;
      if (count === pair.count) return pair;
      if (count > 0) this.#queue.push({ ...pair, count });
    }
  }

  /** Makes the pair one symbol wherever it stands. */
  merge({ left, right }: Pair, result: number): void {
    const key = left * SYMBOLS + right;
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
    const key = left * SYMBOLS + right;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { left, right, count: 0, words: new Set() };
      this.#entries.set(key, entry);
    }
    entry.count += sign * (this.#wordCounts[word] as number);
    if (sign > 0) {
      entry.words.add(word);
      this.#fresh.add(entry);
    }
  }
}
