// The interface of all kinds of tokenizers.

import type { RandomStream } from '../util/random.ts';

export interface EncodeOptions {
  /** Probability of skipping a merge (BPE dropout); 0 by default. Only tokenizers with `hasDropout` do it. */
  readonly dropout?: number;
  /** The random stream of dropout; required with it. */
  readonly random?: RandomStream;
}

export interface Tokenizer {
  /** Number of ids that texts are made of, without a start and end token that the model adds. */
  readonly vocabularySize: number;
  /** Each id that `encode` gives is below it: special tokens that a text spells out are among them. */
  readonly idCount: number;
  /** Whether `encode` takes `dropout`. */
  readonly hasDropout: boolean;
  /** Encodes a text, without start, end and padding; white space alone usually gives no ids. */
  encode(text: string, options?: EncodeOptions): number[];
  /** Characters of a text that `encode` leaves out or that become no token of their own, each once; none without it. */
  unread?(text: string): string;
  /** Decodes ids to text as far as they are text. Throws RangeError for an id of no token. */
  decode(ids: readonly number[]): string;
  /** The contents of a tokenizer.json. */
  toJSON(): object;
}
