// What a text tower needs of a tokenizer, whichever kind it is.

export interface Tokenizer {
  /** How many ids there are; each is below it. */
  readonly vocabularySize: number;
  /** The ids of a text, none for one of only white space. Without start, end and padding. */
  encode(text: string): number[];
  /** The tokenizer.json. */
  toJSON(): object;
}
