// The merges of a byte-pair encoding, in order of rank, and their application to one word.

import { PriorityQueue } from './priority-queue.ts';

/** Two neighbouring symbols and the symbol they become. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly result: number;
}

export class MergeTable {
  readonly #ranks: Map<number, number>;
  readonly #results: Int32Array;
  readonly #symbols: number;

  /** @param merges the first is applied first; @param symbols more than the largest symbol */
  constructor(merges: readonly Merge[], symbols: number) {
    this.#symbols = symbols;
    this.#ranks = new Map(merges.map(({ left, right }, rank) => [left * symbols + right, rank]));
    this.#results = Int32Array.from(merges, ({ result }) => result);
  }

  #rank(left: number, right: number): number | undefined {
    return this.#ranks.get(left * this.#symbols + right);
  }

  /**
   * Merges the symbols of a word: always the neighbours of the lowest rank, the leftmost first, until none can be.
   * With `isDropped`, each is passed over when it says so, until the next merge (BPE dropout, arXiv 1910.13267,
   * algorithm 1). Takes O(n log n) for n symbols.
   */
  apply(word: ArrayLike<number>, isDropped?: () => boolean): number[] {
    const length = word.length;
    const symbols = Array.from(word);
    const next = Int32Array.from(symbols, (_, i) => i + 1);
    const previous = Int32Array.from(symbols, (_, i) => i - 1);
    // An entry is rank × length + position, so that numbers order as wanted.
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

    const passedOver: number[] = [];
    for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
      const left = entry % length;
      const rank = (entry - left) / length;
      if (symbols[left] === GONE || rankAt(left) !== rank) continue;
      if (isDropped?.()) {
        passedOver.push(entry);
        continue;
      }
      for (const skipped of passedOver.splice(0)) queue.push(skipped);
      const right = next[left] as number;
      const after = next[right] as number;
      symbols[left] = this.#results[rank] as number;
      symbols[right] = GONE;
      next[left] = after;
      if (after < length) previous[after] = left;
      enqueue(left);
      if ((previous[left] as number) >= 0) enqueue(previous[left] as number);
    }
    return symbols.filter((symbol) => symbol !== GONE);
  }
}

/** Stands where a symbol was merged into the one before it. */
const GONE = -1;
