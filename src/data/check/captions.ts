// What `mm data check` says about captions.

import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import type { CheckedImage, CheckedSource } from './checked-source.ts';
import { type Bin, binsOf, type Range, rangeOf } from './distribution.ts';
import { type WordCount, WordCounts } from './words.ts';

/** Words listed as the most frequent. */
export const MAX_FREQUENT_WORDS = 50;
/** Edges of the bins of lengths, in tokens or words. */
export const CAPTION_LENGTHS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

export interface LongCaption {
  readonly file: string;
  readonly words: number;
  /** With a tokenizer. */
  readonly tokens?: number;
}

export interface CaptionReport {
  /** Images with a caption. */
  readonly count: number;
  /** Number of different first captions. */
  readonly distinct: number;
  /** First captions shared by several images, most frequent first. */
  readonly repeated: readonly { readonly caption: string; readonly images: number }[];
  /** Words in a caption, between spaces. */
  readonly words: Range | undefined;
  /** Tokens in a caption, with a tokenizer. */
  readonly tokens: Range | undefined;
  /** Captions by their length in tokens, or in words without a tokenizer. */
  readonly lengths: readonly Bin[];
  readonly frequentWords: readonly WordCount[];
  /** Images without a caption. */
  readonly missing: readonly string[];
  readonly empty: readonly string[];
  readonly unreadable: readonly string[];
  /** Captions of more tokens than `textLength`; of more words without a tokenizer. */
  readonly tooLong: readonly LongCaption[];
  /** Images with several captions, of which each epoch picks one. */
  readonly severalLines: readonly string[];
  readonly withoutImage: readonly string[];
}

/** @param textLength tokens, or words, beyond which a caption is too long */
export function captionReport(
  { images, orphanCaptions }: CheckedSource,
  textLength: number,
  tokenizer?: Tokenizer,
): CaptionReport {
  const captioned = images.flatMap(({ captionFile, captions }) =>
    Array.isArray(captions) ? [{ file: captionFile, captions: captions as readonly string[] }] : [],
  );
  const without = (reason: CheckedImage['captions']): string[] =>
    images.filter(({ captions }) => captions === reason).map(({ captionFile }) => captionFile);
  const counts = new WordCounts();
  const lines = captioned.flatMap(({ file, captions }) =>
    captions.map((caption): LongCaption => {
      counts.add(caption);
      const words = caption.split(/\s+/).length;
      return tokenizer ? { file, words, tokens: tokenizer.encode(caption).length } : { file, words };
    }),
  );
  const firsts = new Map<string, number>();
  for (const { captions } of captioned) {
    const [caption] = captions as [string];
    firsts.set(caption, (firsts.get(caption) ?? 0) + 1);
  }
  const lengthOf = ({ words, tokens = words }: LongCaption): number => tokens;
  return {
    count: captioned.length,
    distinct: firsts.size,
    repeated: [...firsts]
      .flatMap(([caption, images]) => (images > 1 ? [{ caption, images }] : []))
      .sort((a, b) => b.images - a.images),
    words: rangeOf(lines.map(({ words }) => words)),
    tokens: tokenizer && rangeOf(lines.map(lengthOf)),
    lengths: binsOf(lines.map(lengthOf), CAPTION_LENGTHS),
    frequentWords: counts.top(MAX_FREQUENT_WORDS),
    missing: without('missing'),
    empty: without('empty'),
    unreadable: without('unreadable'),
    tooLong: lines.filter((line) => lengthOf(line) > textLength),
    severalLines: captioned.filter(({ captions }) => captions.length > 1).map(({ file }) => file),
    withoutImage: orphanCaptions,
  };
}
