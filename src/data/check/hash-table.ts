// The first of what has the same hash: a table in typed arrays, about 40 bytes an entry.

import { Int32List } from '../../util/int32-list.ts';

/** 32-bit words that are kept of a hash: two of 10^9 different contents are taken for one with a chance of 10^-20. */
const WORDS = 4;

export class HashTable {
  readonly #words = new Int32List();
  readonly #values = new Int32List();
  /** Entries by their first word, each in the next free slot; −1 is a free one. At least half are free. */
  #slots = new Int32Array(1024).fill(-1);

  get size(): number {
    return this.#values.length;
  }

  /** Value of a hash of at least 16 bytes; undefined when it was not added. */
  get(hash: Buffer): number | undefined {
    const entry = this.#slots[this.#slotOf(wordsOf(hash))] as number;
    return entry < 0 ? undefined : this.#values.at(entry);
  }

  /** Adds a hash that is not in the table. */
  add(hash: Buffer, value: number): void {
    if (2 * (this.size + 1) > this.#slots.length) this.#grow();
    const words = wordsOf(hash);
    this.#slots[this.#slotOf(words)] = this.size;
    for (const word of words) this.#words.push(word);
    this.#values.push(value);
  }

  /** The slot of the entry with these words, or the free one where it belongs. */
  #slotOf(words: readonly number[]): number {
    const mask = this.#slots.length - 1;
    let slot = (words[0] as number) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] as number;
      if (entry < 0 || words.every((word, i) => this.#words.at(entry * WORDS + i) === word)) return slot;
    }
  }

  #grow(): void {
    this.#slots = new Int32Array(2 * this.#slots.length).fill(-1);
    const mask = this.#slots.length - 1;
    for (let entry = 0; entry < this.size; entry++) {
      let slot = this.#words.at(entry * WORDS) & mask;
      while ((this.#slots[slot] as number) >= 0) slot = (slot + 1) & mask;
      this.#slots[slot] = entry;
    }
  }
}

const wordsOf = (hash: Buffer): number[] => Array.from({ length: WORDS }, (_, i) => hash.readInt32LE(4 * i));
