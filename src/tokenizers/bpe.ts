// The byte-pair tokenizer: text to ids and back. Byte-level, so that every text has ids; dropout for training
// (DALL·E, arXiv 2102.12092, section 2.2: lower-cased text, vocabulary 16,384, BPE dropout 10 %).
// It does not pad or truncate: the trainer knows the text length.

import { readFile } from 'node:fs/promises';
import { DataError } from '../util/errors.ts';
import { writeFileAtomic } from '../util/files.ts';
import type { RandomStream } from '../util/random.ts';
import { BYTE_CHARACTERS, tokenBytes } from './alphabet.ts';
import { MergeTable } from './merges.ts';
import { normalizeText, words } from './text.ts';
import { fromTokenizerJson, toTokenizerJson, type Vocabulary } from './tokenizer-json.ts';

export interface EncodeOptions {
  /** Probability of passing over a merge; 0 by default. */
  readonly dropout?: number;
  /** Where dropout draws from; needed with it. */
  readonly random?: RandomStream;
}

/** Words remembered with their ids, so that frequent ones are merged once. */
const CACHED_WORDS = 2 ** 16;
const CACHED_WORD_LENGTH = 64;

export class BpeTokenizer {
  readonly #vocabulary: Vocabulary;
  readonly #merges: MergeTable;
  /** Id of each byte. */
  readonly #byteIds: Int32Array;
  /** Bytes of each id. */
  readonly #bytes: readonly Uint8Array[];
  readonly #cache = new Map<string, readonly number[]>();

  /** @param vocabulary holds every byte; `fromJSON` and `trainBpe` see to it */
  constructor(vocabulary: Vocabulary) {
    const { tokens, merges } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#merges = new MergeTable(merges, tokens.length);
    this.#bytes = tokens.map((token) => tokenBytes(token) as Uint8Array);
    const ids = new Map(tokens.map((token, id) => [token, id]));
    this.#byteIds = Int32Array.from(BYTE_CHARACTERS, (character) => ids.get(character) as number);
  }

  /** How many ids there are; training on little text gives fewer than were asked for. */
  get vocabularySize(): number {
    return this.#bytes.length;
  }

  /** The ids of a text, none for one of only white space. */
  encode(text: string, { dropout = 0, random }: EncodeOptions = {}): number[] {
    const all = words(normalizeText(text));
    if (dropout === 0) return all.flatMap((word) => this.#wordIds(word));
    if (random === undefined) throw new RangeError('dropout needs a random stream');
    return all.flatMap((word) => this.#merges.apply(this.#symbols(word), () => random.uniform() < dropout));
  }

  /** The normalised text of ids; bytes that are no UTF-8 become U+FFFD. Throws RangeError on an id that is none. */
  decode(ids: readonly number[]): string {
    const bytes = ids.map((id) => {
      const token = this.#bytes[id];
      if (token === undefined)
        throw new RangeError(`no token ${id} in a vocabulary of ${this.vocabularySize}`);
      return token;
    });
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(bytes)).replace(/^ /, '');
  }

  /** The object of a Hugging Face tokenizer.json. */
  toJSON(): object {
    return toTokenizerJson(this.#vocabulary);
  }

  /** From a parsed tokenizer.json. Throws DataError naming `where`. */
  static fromJSON(value: unknown, where: string): BpeTokenizer {
    return new BpeTokenizer(fromTokenizerJson(value, where));
  }

  /** Reads a tokenizer.json. Throws DataError. */
  static async load(path: string): Promise<BpeTokenizer> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(path, 'utf8'));
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      throw new DataError(missing ? 'there is no such tokenizer' : 'the tokenizer cannot be read', {
        code: missing ? 'E_NOT_FOUND' : 'E_TOKENIZER_UNUSABLE',
        where: path,
        fix: 'name a tokenizer.json written by mm train-bpe',
        cause,
      });
    }
    return BpeTokenizer.fromJSON(value, path);
  }

  /** Writes a tokenizer.json, whole or not at all. */
  async save(path: string): Promise<void> {
    await writeFileAtomic(path, `${JSON.stringify(this, null, 2)}\n`);
  }

  #wordIds(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const ids = this.#merges.apply(this.#symbols(word));
    if (this.#cache.size < CACHED_WORDS && word.length <= CACHED_WORD_LENGTH) this.#cache.set(word, ids);
    return ids;
  }

  #symbols(word: string): number[] {
    return Array.from(Buffer.from(word, 'utf8'), (byte) => this.#byteIds[byte] as number);
  }
}
