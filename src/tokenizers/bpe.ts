// The byte-pair tokenizer: text to ids and back. Byte-level, so that every text can be encoded; dropout for training
// (DALL·E, arXiv 2102.12092, section 2.2: lower-cased text, vocabulary 16,384, BPE dropout 10 %).
// It neither pads nor truncates.

import { DataError } from '../util/errors.ts';
import { readTextFile, writeFileAtomic } from '../util/files.ts';
import { BYTE_CHARACTERS, tokenBytes } from './alphabet.ts';
import { MergeTable } from './merges.ts';
import { normalizeText, words } from './text.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';
import { fromTokenizerJson, toTokenizerJson, type Vocabulary } from './tokenizer-json.ts';

/** Words whose ids are cached, so that frequent words are merged once. */
const MAX_CACHED_WORDS = 2 ** 16;
const MAX_CACHED_LENGTH = 64;

export class BpeTokenizer implements Tokenizer {
  readonly hasDropout = true;
  readonly #vocabulary: Vocabulary;
  readonly #merges: MergeTable;
  /** Id of each byte. */
  readonly #byteIds: Int32Array;
  /** Bytes of each id. */
  readonly #bytes: readonly Uint8Array[];
  readonly #cache = new Map<string, readonly number[]>();

  /** @param vocabulary contains every byte, as those of `fromJSON` and `trainBpe` do */
  constructor(vocabulary: Vocabulary) {
    const { tokens, merges } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#merges = new MergeTable(merges, tokens.length);
    this.#bytes = tokens.map((token) => tokenBytes(token) as Uint8Array);
    const ids = new Map(tokens.map((token, id) => [token, id]));
    this.#byteIds = Int32Array.from(BYTE_CHARACTERS, (character) => ids.get(character) as number);
  }

  /** Number of ids; training on little text gives fewer than requested. */
  get vocabularySize(): number {
    return this.#bytes.length;
  }

  get idCount(): number {
    return this.vocabularySize;
  }

  /** Encodes a text; white space alone gives no ids. */
  encode(text: string, { dropout = 0, random }: EncodeOptions = {}): number[] {
    const all = words(normalizeText(text));
    if (dropout === 0) return all.flatMap((word) => this.#wordIds(word));
    if (random === undefined) throw new RangeError('dropout needs a random stream');
    return all.flatMap((word) => this.#merges.apply(this.#symbols(word), () => random.uniform() < dropout));
  }

  /** Decodes ids to normalized text; bytes that are not UTF-8 become U+FFFD. Throws RangeError for an unknown id. */
  decode(ids: readonly number[]): string {
    const bytes = ids.map((id) => {
      const token = this.#bytes[id];
      if (token === undefined)
        throw new RangeError(`no token ${id} in a vocabulary of ${this.vocabularySize}`);
      return token;
    });
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(bytes)).replace(/^ /, '');
  }

  /** The contents of a Hugging Face tokenizer.json. */
  toJSON(): object {
    return toTokenizerJson(this.#vocabulary);
  }

  /** Creates a tokenizer from a parsed tokenizer.json. Throws DataError that names `where`. */
  static fromJSON(value: unknown, where: string): BpeTokenizer {
    return new BpeTokenizer(fromTokenizerJson(value, where));
  }

  /** Reads a tokenizer.json. Throws DataError. */
  static async load(path: string): Promise<BpeTokenizer> {
    const fix = 'name a tokenizer.json written by mm train-bpe';
    const text = await readTextFile(path, 'tokenizer', fix);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new DataError('the tokenizer is not JSON', {
        code: 'E_TOKENIZER_UNUSABLE',
        where: path,
        fix,
        cause,
      });
    }
    return BpeTokenizer.fromJSON(value, path);
  }

  /** Writes a tokenizer.json atomically. */
  async save(path: string): Promise<void> {
    await writeFileAtomic(path, `${JSON.stringify(this, null, 2)}\n`);
  }

  #wordIds(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const ids = this.#merges.apply(this.#symbols(word));
    if (this.#cache.size < MAX_CACHED_WORDS && word.length <= MAX_CACHED_LENGTH) this.#cache.set(word, ids);
    return ids;
  }

  #symbols(word: string): number[] {
    return Array.from(Buffer.from(word, 'utf8'), (byte) => this.#byteIds[byte] as number);
  }
}
