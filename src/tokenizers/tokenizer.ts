// The interface of both kinds of tokenizers.

export interface Tokenizer {
  /** Number of ids; each is below it. */
  readonly vocabularySize: number;
  /** Encodes a text, without start, end and padding; white space alone gives no ids. */
  encode(text: string): number[];
  /** The contents of a tokenizer.json. */
  toJSON(): object;
}
