// What `mm data check` says about captions.

import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import type { CaptionLack } from '../image.ts';
import { type Bin, Histogram, type Range } from './distribution.ts';
import { DifferentTexts, FrequentTexts } from './frequent.ts';
import { List, type Listed, MAX_LISTED } from './lists.ts';
import { type WordCount, WordCounts } from './words.ts';

/** Words listed as the most frequent. */
const MAX_FREQUENT_WORDS = 50;
/** Edges of the bins of lengths, in tokens or words. */
const CAPTION_LENGTHS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

export interface CaptionLength {
  readonly words: number;
  /** With a tokenizer. */
  readonly tokens?: number;
}

export interface LongCaption extends CaptionLength {
  readonly file: string;
}

/** Lengths of captions and their words. */
export interface TextReport {
  /** Words in a caption, between spaces. */
  readonly words: Range | undefined;
  /** Tokens in a caption, with a tokenizer. */
  readonly tokens: Range | undefined;
  /** Captions by their length in tokens, or in words without a tokenizer. */
  readonly lengths: readonly Bin[];
  readonly frequentWords: readonly WordCount[];
}

export interface CaptionReport extends TextReport {
  /** Images with a caption. */
  readonly count: number;
  /** Number of different first captions. */
  readonly distinct: number;
  /** First captions shared by several images, most frequent first. */
  readonly repeated: readonly { readonly caption: string; readonly images: number }[];
  /** Images without a caption. */
  readonly missing: Listed;
  readonly empty: Listed;
  readonly unreadable: Listed;
  /** Captions of more tokens than `textLength`; of more words without a tokenizer. */
  readonly tooLong: Listed<LongCaption>;
  /** Images with several captions, of which each epoch picks one. */
  readonly severalLines: Listed;
  readonly withoutImage: Listed;
}

/** Counts the lengths of captions and their words. */
export class CaptionTexts {
  readonly #tokenizer: Tokenizer | undefined;
  readonly #textLength: number;
  readonly #words = new Histogram();
  readonly #tokens = new Histogram();
  readonly #frequent = new WordCounts();

  /** @param textLength tokens, or words, beyond which a caption is too long */
  constructor(textLength: number, tokenizer: Tokenizer | undefined) {
    this.#textLength = textLength;
    this.#tokenizer = tokenizer;
  }

  /** @returns the length of a caption that is too long */
  add(caption: string): CaptionLength | undefined {
    const words = caption.split(/\s+/).length;
    const tokens = this.#tokenizer?.encode(caption).length;
    this.#words.add(words);
    this.#frequent.add(caption);
    if (tokens !== undefined) this.#tokens.add(tokens);
    if ((tokens ?? words) <= this.#textLength) return undefined;
    return tokens === undefined ? { words } : { words, tokens };
  }

  get report(): TextReport {
    return {
      words: this.#words.range,
      tokens: this.#tokenizer && this.#tokens.range,
      lengths: (this.#tokenizer ? this.#tokens : this.#words).bins(CAPTION_LENGTHS),
      frequentWords: this.#frequent.top(MAX_FREQUENT_WORDS),
    };
  }

  get limits(): string[] {
    return this.#frequent.limits;
  }
}

const LACKS = {
  'no-caption': 'missing',
  'empty-caption': 'empty',
  'unreadable-caption': 'unreadable',
} as const;

/** The captions of images, one image after the other. */
export class CaptionCheck {
  readonly #texts: CaptionTexts;
  readonly #different = new DifferentTexts();
  readonly #firsts = new FrequentTexts();
  readonly #lacks = { missing: new List(), empty: new List(), unreadable: new List() };
  readonly #tooLong = new List<LongCaption>();
  readonly #several = new List();
  #count = 0;

  constructor(textLength: number, tokenizer: Tokenizer | undefined) {
    this.#texts = new CaptionTexts(textLength, tokenizer);
  }

  /**
   * @param file of the captions
   * @returns whether a list has the file
   */
  add(file: string, captions: readonly string[], lack: CaptionLack = 'no-caption'): boolean {
    const [first] = captions;
    if (first === undefined) return this.#lacks[LACKS[lack]].add(file);
    this.#count++;
    this.#different.add(first);
    this.#firsts.add(first);
    let isListed = captions.length > 1 && this.#several.add(file);
    for (const caption of captions) {
      const tooLong = this.#texts.add(caption);
      if (tooLong && this.#tooLong.add({ file, ...tooLong })) isListed = true;
    }
    return isListed;
  }

  report(withoutImage: Listed): CaptionReport {
    const { missing, empty, unreadable } = this.#lacks;
    return {
      count: this.#count,
      distinct: this.#different.count,
      repeated: this.#firsts.top(MAX_LISTED, 2).map(({ text, count }) => ({ caption: text, images: count })),
      ...this.#texts.report,
      missing: missing.listed,
      empty: empty.listed,
      unreadable: unreadable.listed,
      tooLong: this.#tooLong.listed,
      severalLines: this.#several.listed,
      withoutImage,
    };
  }

  /** What is not exact, in words. */
  get limits(): string[] {
    const { share } = this.#different;
    const { error } = this.#firsts;
    return [
      ...(share > 1 ? [`different captions: estimated from one in ${share} of them`] : []),
      ...(error > 0 ? [`repeated captions: each count may be up to ${error} too low`] : []),
      ...this.#texts.limits,
    ];
  }
}
