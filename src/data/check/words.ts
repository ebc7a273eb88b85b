// The most frequent words of captions.

import { FrequentTexts } from './frequent.ts';

export interface WordCount {
  readonly word: string;
  readonly count: number;
}

export class WordCounts {
  readonly #counts = new FrequentTexts();
  /** Words as Unicode divides them, also in scripts without spaces. */
  readonly #segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });

  add(caption: string): void {
    for (const { segment, isWordLike } of this.#segmenter.segment(caption.toLowerCase()))
      if (isWordLike) this.#counts.add(segment);
  }

  /** The most frequent first; words of one count in their order. */
  top(limit: number): WordCount[] {
    return this.#counts.top(limit).map(({ text, count }) => ({ word: text, count }));
  }

  /** What is not exact, in words. */
  get limits(): string[] {
    const { error } = this.#counts;
    return error === 0 ? [] : [`words: there are so many that each count may be up to ${error} too low`];
  }
}
