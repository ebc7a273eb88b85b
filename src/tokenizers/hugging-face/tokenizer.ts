// A tokenizer.json of Hugging Face's tokenizers, of the common kinds: normalizers, pre-tokenizers, one of four models,
// added tokens. Gives the ids of the Rust library without the special tokens around a text; truncation, padding and the
// post-processor of the file are the model's affair here. Decoding is Hugging Face's own package's.

import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { CLEANINGS, type Cleaning, clean } from '../cleaning/clean.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { isObject } from '../tokenizer-json.ts';
import { AddedTokens, addedTokenSchema } from './added-tokens.ts';
import type { Fail, Model } from './model.ts';
import { createModel, modelSchema } from './models.ts';
import { byteLevel, normalizerSchema } from './normalizers.ts';
import { decoderOf } from './peer.ts';
import { type PreTokenizer, preTokenizerSchema } from './pre-tokenizers.ts';
import { type AroundText, aroundText } from './special-tokens.ts';

/** Pieces whose ids are cached, so that frequent words are encoded once. */
const MAX_CACHED_PIECES = 2 ** 16;
const MAX_CACHED_LENGTH = 64;

const WHOLE: PreTokenizer = { cut: (piece) => [piece], isByteLevel: false };

const schema = z.object({
  cleaning: z.enum(CLEANINGS).optional(),
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: normalizerSchema.nullish(),
  pre_tokenizer: preTokenizerSchema.nullish(),
  post_processor: z.unknown().optional(),
  model: modelSchema,
});

const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable tokenizer: ${what}`, {
    code: 'E_TOKENIZER_UNUSABLE',
    where,
    fix: 'name a tokenizer.json of byte pairs, WordPiece, WordLevel or Unigram, with the usual steps',
  });

export class HuggingFaceTokenizer implements Tokenizer {
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #added: AddedTokens;
  readonly #preTokenizer: PreTokenizer;
  readonly #model: Model;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #cache = new Map<string, readonly number[]>();
  #decode: ((ids: readonly number[]) => string) | undefined;
  readonly #cleaning: Cleaning | undefined;
  readonly vocabularySize: number;
  readonly hasDropout = false;
  /** Ids that the file's post-processor puts before and after a text. */
  readonly around: AroundText;

  private constructor(json: Readonly<Record<string, unknown>>, where: string) {
    const fail: Fail = (what) => {
      throw unusable(what, where);
    };
    const parsed = schema.safeParse(json);
    if (!parsed.success) throw unusable(describe(parsed.error, json), where);
    const { cleaning, added_tokens, normalizer, pre_tokenizer, post_processor, model } = parsed.data;
    this.#json = json;
    this.#cleaning = cleaning;
    this.#model = createModel(model, fail);
    const ids = new Map(this.#model.ids);
    for (const { content, id } of added_tokens) {
      if ((ids.get(content) ?? id) !== id)
        fail(`token "${content}" has the ids ${ids.get(content)} and ${id}`);
      ids.set(content, id);
    }
    this.#ids = ids;
    this.#added = new AddedTokens(added_tokens, normalizer ?? ((text) => text));
    this.#preTokenizer = pre_tokenizer ?? WHOLE;
    let last = -1;
    for (const id of ids.values()) last = Math.max(last, id);
    this.vocabularySize = last + 1;
    this.around = aroundText(post_processor, (token) => ids.get(token));
  }

  get idCount(): number {
    return this.vocabularySize;
  }

  /** The id of `token`, such as `[PAD]`, if it is one. */
  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  encode(text: string): number[] {
    const cleaned = this.#cleaning ? clean(text, this.#cleaning) : text;
    const result: number[] = [];
    for (const section of this.#added.split(cleaned)) {
      if ('id' in section) result.push(section.id);
      else if (section.text !== '')
        for (const piece of this.#pieces(section))
          if (piece !== '') for (const id of this.#pieceIds(piece)) result.push(id);
    }
    return result;
  }

  /** Decodes ids to text, without special tokens. */
  decode(ids: readonly number[]): string {
    for (const id of ids)
      if (!(id < this.vocabularySize))
        throw new RangeError(`no token ${id} in a vocabulary of ${this.vocabularySize}`);
    this.#decode ??= decoderOf(this.#json, this.#ids);
    return this.#decode(ids);
  }

  /** What the model encodes of a text between added tokens. */
  #pieces({ text, isFirst }: { readonly text: string; readonly isFirst: boolean }): readonly string[] {
    const pieces = this.#preTokenizer.cut(text, isFirst);
    const { words } = this.#model;
    return words && !this.#preTokenizer.isByteLevel ? pieces.flatMap(words) : pieces;
  }

  #pieceIds(piece: string): readonly number[] {
    const known = this.#cache.get(piece);
    if (known !== undefined) return known;
    const ids = this.#model.encode(this.#preTokenizer.isByteLevel ? byteLevel(piece) : piece);
    if (this.#cache.size < MAX_CACHED_PIECES && piece.length <= MAX_CACHED_LENGTH)
      this.#cache.set(piece, ids);
    return ids;
  }

  /** The same tokenizer with texts cleaned first. */
  cleaned(cleaning: Cleaning | undefined): HuggingFaceTokenizer {
    return new HuggingFaceTokenizer({ ...this.#json, cleaning }, '');
  }

  /** The tokenizer.json that it was read from. */
  toJSON(): object {
    return this.#json;
  }

  /**
   * From a parsed tokenizer.json.
   * @throws DataError when it has a step that mm does not have, or its vocabulary is not consistent
   */
  static fromJSON(value: unknown, where: string): HuggingFaceTokenizer {
    return new HuggingFaceTokenizer(isObject(value) ? value : {}, where);
  }
}

/** The first thing that is wrong: a step that mm does not have by its name. */
function describe(error: z.ZodError, json: unknown): string {
  const [issue] = error.issues;
  const path = issue?.path ?? [];
  const at = path.map(String).join('.');
  const given = path.reduce<unknown>(
    (value, key) => (isObject(value) || Array.isArray(value) ? Reflect.get(value as object, key) : undefined),
    json,
  );
  const isKind = path.at(-1) === 'type' && typeof given === 'string';
  return isKind ? `mm has no such step as ${given} (${at})` : `${at || 'the file'}: ${issue?.message}`;
}
