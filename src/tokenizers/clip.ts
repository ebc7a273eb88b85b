// CLIP's byte-pair tokenizer: lower case, words without spaces whose last symbol is marked </w>. There are two. That of
// Hugging Face's transformers makes NFC of a text. That of openai/CLIP (simple_tokenizer.py), open_clip and DALLE-pytorch
// repairs mojibake and decodes character references first; its file says so by `cleaning`.
// The start and the end token are the two ids after those of the byte pairs; callers add them around the ids of a text.

import { BYTE_CHARACTERS, tokenBytes } from './alphabet.ts';
import { type Cleaning, clean } from './cleaning/clean.ts';
import { clipJson, clipSchema, END, END_OF_WORD, START, unusable } from './clip-json.ts';
import { type Merge, MergeTable } from './merges.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';
import { readTokens } from './tokenizer-json.ts';

/** Merges of the published vocabulary; its file lists more. */
const PUBLISHED_MERGES = 49152 - 256 - 2;

/** Words whose ids are cached, so that frequent words are merged once. */
const MAX_CACHED_WORDS = 2 ** 16;
const MAX_CACHED_LENGTH = 64;

const SPECIAL = /(<\|startoftext\|>|<\|endoftext\|>)/;
const WORD =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** Letters of both cases, and the long s. The flag i would also take marks for letters that they fold to. */
const anyCase = (word: string): string =>
  word.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}${letter === 's' ? 'ſ' : ''}]`);
/** Of a cleaned text, which may not be lower case. The mark U+0345, which folds to a letter, is left out as there. */
const CLEANED_WORD = new RegExp(
  WORD.source.replace(/(startof|endof)text|'\w+/g, anyCase).replace('[^', '[^\\u0345'),
  'gu',
);
/** The names of the special tokens in another letter case are split into three words. */
const NAMED = /^(<\|)(\w+)(\|>)$/;
/** Lower-cases each character alone, as Rust does: JavaScript has a rule for a capital sigma at the end of a word. */
const normalizeClipText = (text: string): string => text.normalize('NFC').replaceAll('Σ', 'σ').toLowerCase();

/** The words of a part of a text between special tokens. */
const normalizedWords = (part: string): readonly string[] =>
  part === START || part === END
    ? [part]
    : (normalizeClipText(part).match(WORD) ?? []).flatMap((word) => NAMED.exec(word)?.slice(1) ?? word);

export class ClipTokenizer implements Tokenizer {
  readonly #tokens: readonly string[];
  readonly #merges: readonly Merge[];
  readonly #table: MergeTable;
  /** Ids of each byte inside a word and at its end. */
  readonly #inner: readonly number[];
  readonly #last: readonly number[];
  readonly #cleaning: Cleaning | undefined;
  readonly hasDropout = true;
  readonly #cache = new Map<string, readonly number[]>();

  private constructor(tokens: readonly string[], merges: readonly Merge[], cleaning?: Cleaning) {
    const ids = new Map(tokens.map((token, id) => [token, id]));
    this.#tokens = tokens;
    this.#cleaning = cleaning;
    this.#merges = merges;
    this.#table = new MergeTable(merges, tokens.length);
    this.#inner = BYTE_CHARACTERS.map((character) => ids.get(character) as number);
    this.#last = BYTE_CHARACTERS.map((character) => ids.get(character + END_OF_WORD) as number);
  }

  /** Bytes and byte pairs; the start and the end token are the next two ids. */
  get vocabularySize(): number {
    return this.#tokens.length;
  }

  get idCount(): number {
    return this.vocabularySize + 2;
  }

  encode(text: string, { dropout = 0, random }: EncodeOptions = {}): number[] {
    const words = this.#cleaning
      ? (clean(text, this.#cleaning).match(CLEANED_WORD) ?? [])
      : text.split(SPECIAL).flatMap(normalizedWords);
    if (dropout === 0) return words.flatMap((word) => this.#wordIds(word));
    if (random === undefined) throw new RangeError('dropout needs a random stream');
    return words.flatMap((word) => {
      const special = this.#specialId(word);
      const isDropped = (): boolean => random.uniform() < dropout;
      return special === undefined ? this.#table.apply(this.#symbols(word), isDropped) : [special];
    });
  }

  decode(ids: readonly number[]): string {
    const spelled = ids
      .filter((id) => id !== this.vocabularySize && id !== this.vocabularySize + 1)
      .map((id) => {
        const token = this.#tokens[id];
        if (token === undefined) throw new RangeError(`no token ${id} in a vocabulary of ${this.idCount}`);
        return token;
      });
    const words = spelled.join('').split(END_OF_WORD);
    const bytes = words.map((word) => tokenBytes(word) ?? Buffer.from(word));
    return bytes
      .map((word) => Buffer.from(word).toString('utf8'))
      .join(' ')
      .trim();
  }

  #specialId(word: string): number | undefined {
    if (word === START) return this.vocabularySize;
    return word === END ? this.vocabularySize + 1 : undefined;
  }

  #wordIds(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known) return known;
    const special = this.#specialId(word);
    const ids = special === undefined ? this.#table.apply(this.#symbols(word)) : [special];
    if (this.#cache.size < MAX_CACHED_WORDS && word.length <= MAX_CACHED_LENGTH) this.#cache.set(word, ids);
    return ids;
  }

  #symbols(word: string): number[] {
    const bytes = Buffer.from(word, 'utf8');
    return Array.from(bytes, (byte, i) =>
      i === bytes.length - 1 ? (this.#last[byte] as number) : (this.#inner[byte] as number),
    );
  }

  /** The same tokenizer with texts cleaned first. */
  cleaned(cleaning: Cleaning | undefined): ClipTokenizer {
    return new ClipTokenizer(this.#tokens, this.#merges, cleaning);
  }

  /** The contents of a Hugging Face tokenizer.json. */
  toJSON(): object {
    return clipJson(this.#tokens, this.#merges, this.#cleaning);
  }

  /**
   * Creates a tokenizer from a parsed tokenizer.json.
   * @throws DataError when it is of another kind, or its vocabulary and merges do not match
   */
  static fromJSON(value: unknown, where: string): ClipTokenizer {
    const fail = (what: string): never => {
      throw unusable(what, where);
    };
    const parsed = clipSchema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw unusable(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
    }
    const { vocab, merges } = parsed.data.model;
    const tokens = readTokens(vocab, fail, (token) => token);
    if (tokens.at(-2) !== START || tokens.at(-1) !== END)
      fail(`${START} and ${END} are not its last two tokens`);
    return ClipTokenizer.#from(tokens.slice(0, -2), merges, where, parsed.data.cleaning);
  }

  /**
   * Creates a tokenizer from OpenAI's list of merges (bpe_simple_vocab_16e6.txt) or a merges.txt: a header line, then
   * two symbols a line, of which the published vocabulary uses the first 48,894.
   * @throws DataError when it is not such a list
   */
  static fromMerges(text: string, where: string): ClipTokenizer {
    const [header, ...lines] = text.split('\n').map((line) => line.trimEnd());
    if (!header?.includes('#version')) throw unusable('the first line is not #version', where);
    const pairs = lines
      .slice(0, PUBLISHED_MERGES)
      .filter((line) => line !== '')
      .map((line, i): [string, string] => {
        const [left, right, ...rest] = line.split(' ');
        if (!left || !right || rest.length > 0) throw unusable(`line ${i + 2} is not two symbols`, where);
        return [left, right];
      });
    // OpenAI's order of the alphabet: printable characters first, then those of the other bytes.
    const alphabet = [
      ...BYTE_CHARACTERS.filter((character) => character.codePointAt(0)! < 0x100),
      ...BYTE_CHARACTERS.filter((character) => character.codePointAt(0)! >= 0x100),
    ];
    const tokens = [
      ...alphabet,
      ...alphabet.map((character) => character + END_OF_WORD),
      ...pairs.map(([left, right]) => left + right),
    ];
    return ClipTokenizer.#from(tokens, pairs, where);
  }

  static #from(
    tokens: readonly string[],
    pairs: readonly (readonly [string, string])[],
    where: string,
    cleaning?: Cleaning,
  ): ClipTokenizer {
    const ids = new Map(tokens.map((token, id) => [token, id]));
    const idOf = (token: string): number => {
      const id = ids.get(token);
      if (id === undefined) throw unusable(`token "${token}" is not in the vocabulary`, where);
      return id;
    };
    for (const character of BYTE_CHARACTERS) {
      idOf(character);
      idOf(character + END_OF_WORD);
    }
    const merges = pairs.map(([left, right]) => ({
      left: idOf(left),
      right: idOf(right),
      result: idOf(left + right),
    }));
    return new ClipTokenizer(tokens, merges, cleaning);
  }
}
