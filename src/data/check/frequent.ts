// Counts of words and captions in bounded memory.

import { createHash } from 'node:crypto';

/** Different texts that are counted at a time, and their characters. */
const MAX_TEXTS = 500_000;
const MAX_CHARACTERS = 2 ** 25;
/** Hashes from which the number of different texts is estimated, at most: to about 0.2 %. */
const MAX_HASHES = 2 ** 18;

/**
 * The most frequent texts (Misra & Gries, Finding repeated elements, 1982, in batches). Exact until there are too many
 * different ones; then half of them are forgotten, and every count may be too low by as much as the median so far.
 */
export class FrequentTexts {
  readonly #max: number;
  #counts = new Map<string, number>();
  #characters = 0;
  /** By how much a count may be too low. */
  error = 0;

  constructor(max = MAX_TEXTS) {
    this.#max = max;
  }

  add(text: string): void {
    const count = this.#counts.get(text) ?? 0;
    if (count === 0) this.#characters += text.length;
    // A part of a text would keep all of it in memory.
    this.#counts.set(count === 0 ? Buffer.from(text, 'utf16le').toString('utf16le') : text, count + 1);
    while (this.#counts.size > this.#max || this.#characters > MAX_CHARACTERS) this.#forget();
  }

  #forget(): void {
    const sorted = Int32Array.from(this.#counts.values()).sort();
    const median = sorted[sorted.length >> 1] as number;
    const kept = [...this.#counts].filter(([, count]) => count > median);
    this.#counts = new Map(kept.map(([text, count]) => [text, count - median]));
    this.#characters = kept.reduce((sum, [text]) => sum + text.length, 0);
    this.error += median;
  }

  /** The most frequent first; texts of one count in their order. */
  top(limit: number, least = 1): { readonly text: string; readonly count: number }[] {
    return [...this.#counts]
      .flatMap(([text, count]) => (count >= least ? [{ text, count }] : []))
      .sort((a, b) => b.count - a.count || (a.text < b.text ? -1 : 1))
      .slice(0, limit);
  }
}

/**
 * The number of different texts: exact up to a limit, then from a sample by hash, whose share is halved when it is full
 * (Wegman's adaptive sampling: Flajolet, On adaptive sampling, 1990).
 */
export class DifferentTexts {
  readonly #max: number;
  #hashes = new Set<number>();
  /** One in so many hashes is kept. */
  share = 1;

  constructor(max = MAX_HASHES) {
    this.#max = max;
  }

  add(text: string): void {
    const hash = createHash('sha256').update(text).digest().readUIntLE(0, 6);
    if (hash % this.share !== 0) return;
    this.#hashes.add(hash);
    while (this.#hashes.size > this.#max) {
      this.share *= 2;
      this.#hashes = new Set([...this.#hashes].filter((some) => some % this.share === 0));
    }
  }

  get count(): number {
    return this.#hashes.size * this.share;
  }
}
