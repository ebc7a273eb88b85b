// CLIP's byte-pair tokenizer (openai/CLIP, simple_tokenizer.py), with the ids that Hugging Face's transformers gives:
// NFC, lower case, words without spaces whose last symbol is marked </w>. Unlike OpenAI's own code, which needs
// another library for it, it neither mends mojibake nor turns HTML entities into characters.
// Start and end token are the two ids after the byte pairs'; whoever uses the ids puts them around the text.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { BYTE_CHARACTERS } from './alphabet.ts';
import { type Merge, MergeTable } from './merges.ts';
import type { Tokenizer } from './tokenizer.ts';
import { isObject, mergeSchema, readTokens } from './tokenizer-json.ts';

const END_OF_WORD = '</w>';
export const START = '<|startoftext|>';
export const END = '<|endoftext|>';
/** Byte pairs of the published vocabulary; its file lists more. */
const PUBLISHED_MERGES = 49152 - 256 - 2;

const SPECIAL = /(<\|startoftext\|>|<\|endoftext\|>)/;
const WORD =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** The names of the special tokens in other letter case are words of their own, and cut once more. */
const NAMED = /^(<\|)(\w+)(\|>)$/;
const REGEX = String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
/** Older files do not name the special tokens, which are cut out before. */
const OLDER_REGEX = REGEX.slice(REGEX.indexOf("'s"));

/** Lower case is by character, as in Rust: capital sigma must not meet JavaScript's rule for the end of a word. */
const normalizeClipText = (text: string): string => text.normalize('NFC').replaceAll('Σ', 'σ').toLowerCase();

const FIX =
  'name the tokenizer.json of a CLIP, or its merges file (bpe_simple_vocab_16e6.txt.gz, merges.txt)';
const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable CLIP tokenizer: ${what}`, { code: 'E_TOKENIZER_UNUSABLE', where, fix: FIX });

const split = z.object({
  type: z.literal('Split'),
  pattern: z.object({ Regex: z.enum([REGEX, OLDER_REGEX]) }),
  behavior: z.literal('Removed'),
  invert: z.literal(true),
});
const byteLevel = z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.literal(false) });
const schema = z.object({
  added_tokens: z.array(z.object({ id: z.int(), content: z.enum([START, END]) })),
  normalizer: z.object({
    type: z.literal('Sequence'),
    normalizers: z.tuple([
      z.object({ type: z.literal('NFC') }),
      z.object({
        type: z.literal('Replace'),
        pattern: z.object({ Regex: z.literal('\\s+') }),
        content: z.literal(' '),
      }),
      z.object({ type: z.literal('Lowercase') }),
    ]),
  }),
  pre_tokenizer: z.object({ type: z.literal('Sequence'), pretokenizers: z.tuple([split, byteLevel]) }),
  model: z.object({
    type: z.literal('BPE'),
    dropout: z.null().optional(),
    end_of_word_suffix: z.literal(END_OF_WORD),
    vocab: z.custom<Record<string, unknown>>(isObject, 'is not a map of tokens to ids'),
    merges: z.array(mergeSchema),
  }),
});

/** Whether a parsed tokenizer.json is of this kind. */
export const isClipTokenizer = (value: unknown): boolean =>
  isObject(value) && isObject(value.model) && value.model.end_of_word_suffix === END_OF_WORD;

export class ClipTokenizer implements Tokenizer {
  readonly #tokens: readonly string[];
  readonly #merges: readonly Merge[];
  readonly #table: MergeTable;
  /** Ids of each byte inside and at the end of a word. */
  readonly #inner: readonly number[];
  readonly #last: readonly number[];
  readonly #cache = new Map<string, readonly number[]>();

  private constructor(tokens: readonly string[], merges: readonly Merge[], ids: ReadonlyMap<string, number>) {
    this.#tokens = tokens;
    this.#merges = merges;
    this.#table = new MergeTable(merges, tokens.length);
    this.#inner = BYTE_CHARACTERS.map((character) => ids.get(character) as number);
    this.#last = BYTE_CHARACTERS.map((character) => ids.get(character + END_OF_WORD) as number);
  }

  /** Byte pairs and bytes; the start and the end token are the next two ids. */
  get vocabularySize(): number {
    return this.#tokens.length;
  }

  encode(text: string): number[] {
    return text.split(SPECIAL).flatMap((part) => {
      if (part === START) return [this.vocabularySize];
      if (part === END) return [this.vocabularySize + 1];
      const words = (normalizeClipText(part).match(WORD) ?? []).flatMap(
        (word) => NAMED.exec(word)?.slice(1) ?? word,
      );
      return words.flatMap((word) => this.#wordIds(word));
    });
  }

  #wordIds(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known) return known;
    const bytes = Buffer.from(word, 'utf8');
    const symbols = Array.from(bytes, (byte, i) =>
      i === bytes.length - 1 ? (this.#last[byte] as number) : (this.#inner[byte] as number),
    );
    const ids = this.#table.apply(symbols);
    if (this.#cache.size < 2 ** 16 && word.length <= 64) this.#cache.set(word, ids);
    return ids;
  }

  /** Hugging Face's tokenizer.json of this encoding. */
  toJSON(): object {
    const size = this.vocabularySize;
    const special = (id: number, content: string) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    });
    const spelled = (id: number): string => this.#tokens[id] as string;
    return {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [special(size, START), special(size + 1, END)],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'NFC' },
          { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
          { type: 'Lowercase' },
        ],
      },
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: REGEX }, behavior: 'Removed', invert: true },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
        ],
      },
      post_processor: {
        type: 'RobertaProcessing',
        sep: [END, size + 1],
        cls: [START, size],
        trim_offsets: false,
        add_prefix_space: false,
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: END,
        continuing_subword_prefix: '',
        end_of_word_suffix: END_OF_WORD,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries([...this.#tokens, START, END].map((token, id) => [token, id])),
        merges: this.#merges.map(({ left, right }) => `${spelled(left)} ${spelled(right)}`),
      },
    };
  }

  /**
   * From a parsed tokenizer.json.
   * @throws DataError when it is of another kind, or its vocabulary and merges do not fit together
   */
  static fromJSON(value: unknown, where: string): ClipTokenizer {
    const fail = (what: string): never => {
      throw unusable(what, where);
    };
    const parsed = schema.safeParse(value);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw unusable(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
    }
    const { vocab, merges } = parsed.data.model;
    const tokens = readTokens(vocab, fail, (token) => token);
    if (tokens.at(-2) !== START || tokens.at(-1) !== END)
      fail(`${START} and ${END} are not its last two tokens`);
    return ClipTokenizer.#from(tokens.slice(0, -2), merges, where);
  }

  /**
   * From OpenAI's list of merges (bpe_simple_vocab_16e6.txt) or a merges.txt: a header line, then two symbols a line,
   * of which the published vocabulary takes the first 48,894.
   * @throws DataError when it is no such list
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
    // The order of OpenAI's alphabet: printable characters first, then those that stand for other bytes.
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
    return new ClipTokenizer(tokens, merges, ids);
  }
}
