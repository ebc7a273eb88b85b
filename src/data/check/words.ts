// The most frequent words of captions.

/** Distinct words kept at a time; beyond it, words seen once so far are forgotten. */
const MAX_WORDS = 500_000;

export interface WordCount {
  readonly word: string;
  readonly count: number;
}

export class WordCounts {
  readonly #counts = new Map<string, number>();
  /** Words as Unicode divides them, also in scripts without spaces. */
  readonly #segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });

  add(caption: string): void {
    for (const { segment, isWordLike } of this.#segmenter.segment(caption.toLowerCase()))
      if (isWordLike) this.#counts.set(segment, (this.#counts.get(segment) ?? 0) + 1);
    if (this.#counts.size > MAX_WORDS)
      for (const [word, count] of this.#counts) if (count === 1) this.#counts.delete(word);
  }

  /** The most frequent first; words of one count in their order. */
  top(limit: number): WordCount[] {
    return [...this.#counts]
      .map(([word, count]) => ({ word, count }))
      .sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1))
      .slice(0, limit);
  }
}
