// The merges of a byte-pair encoding, ordered by rank, and their application to a word.

import { PriorityQueue } from './priority-queue.ts';

/** Two adjacent symbols and the symbol they become. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly result: number;
}

export class MergeTable {
  readonly #ranks: Map<number, number>;
  readonly #results: Int32Array;
  readonly #symbols: number;

  /**
   * @param merges by rank, lowest first
   * @param symbols number of symbols; each is below it
   */
  constructor(merges: readonly Merge[], symbols: number) {
    this.#symbols = symbols;
    this.#ranks = new Map(merges.map(({ left, right }, rank) => [left * symbols + right, rank]));
    this.#results = Int32Array.from(merges, ({ result }) => result);
  }

  #rank(left: number, right: number): number | undefined {
    return this.#ranks.get(left * this.#symbols + right);
  }

  /**
   * Merges the symbols of a word: repeatedly the pair of the lowest rank, the leftmost first, until no pair can be
   * merged. A pair for which `isDropped` returns true is skipped until the next merge (BPE dropout, arXiv 1910.13267,
   * algorithm 1). Takes O(n log n) for n symbols.
   */
  apply(word: ArrayLike<number>, isDropped?: () => boolean): number[] {
    const length = word.length;
    const symbols = Array.from(word);
    const next = Int32Array.from(symbols, (_, i) => i + 1);
    const previous = Int32Array.from(symbols, (_, i) => i - 1);
    // An entry is rank × length + position: ordered by rank, then from left to right.
    const queue = new PriorityQueue<number>((a, b) => a < b);
    const rankAt = (left: number): number | undefined => {
      const right = next[left] as number;
      return right < length ? this.#rank(symbols[left] as number, symbols[right] as number) : undefined;
    };
    const enqueue = (left: number): void => {
      const rank = rankAt(left);
      if (rank !== undefined) queue.push(rank * length + left);
    };
    for (let i = 0; i < length; i++) enqueue(i);

    const skipped: number[] = [];
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const left = entry % length;
      const rank = (entry - left) / length;
      if (symbols[left] === MERGED || rankAt(left) !== rank) continue;
      if (isDropped?.()) {
        skipped.push(entry);
        continue;
      }
      for (const entry of skipped.splice(0)) queue.push(entry);
      const right = next[left] as number;
      const after = next[right] as number;
      symbols[left] = this.#results[rank] as number;
      symbols[right] = MERGED;
      next[left] = after;
      if (after < length) previous[after] = left;
      enqueue(left);
      if ((previous[left] as number) >= 0) enqueue(previous[left] as number);
    }
    return symbols.filter((symbol) => symbol !== MERGED);
  }
}

/** Marks a symbol that was merged into the one before it. */
const MERGED = -1;
