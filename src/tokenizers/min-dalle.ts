// min-dalle's tokenizer of the captions of DALL·E mini (min_dalle/text_tokenizer.py): emojis are spelled out, letters
// become lower case, characters beyond ASCII are left out, and the words between spaces are merged by BART's byte pairs.
// Unlike BART's own tokenizer it does not split words further, and knows no special tokens in a text.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { demojize } from './cleaning/demojize.ts';
import type { Tokenizer } from './tokenizer.ts';
import { isObject } from './tokenizer-json.ts';

const TYPE = 'min-dalle';
/** Begins a word: a space, as GPT-2 writes bytes. */
const SPACE = 'Ġ';
const UNKNOWN = '<unk>';
const SPECIAL = ['<s>', '</s>', '<pad>', UNKNOWN];
const MAX_CACHED_WORDS = 2 ** 16;

const schema = z.object({
  type: z.literal(TYPE),
  vocab: z.record(z.string(), z.int().min(0)),
  merges: z.array(z.tuple([z.string(), z.string()])),
});
type Model = z.output<typeof schema>;

const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable tokenizer of min-dalle: ${what}`, {
    code: 'E_TOKENIZER_UNUSABLE',
    where,
    fix: 'name a folder with vocab.json and merges.txt, as min-dalle has them',
  });

export const isMinDalleJson = (value: unknown): boolean =>
  isObject(value) && isObject(value.model) && value.model.type === TYPE;

export class MinDalleTokenizer implements Tokenizer {
  readonly #model: Model;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #spellings: ReadonlyMap<number, string>;
  readonly #cache = new Map<string, readonly number[]>();
  readonly #unknown: number;
  readonly vocabularySize: number;
  readonly idCount: number;
  readonly hasDropout = false;

  private constructor(model: Model, where: string) {
    this.#model = model;
    this.#ids = new Map(Object.entries(model.vocab));
    const missing = SPECIAL.find((token) => !this.#ids.has(token));
    if (missing !== undefined) throw unusable(`its vocabulary has no ${missing}`, where);
    this.#unknown = this.#ids.get(UNKNOWN) as number;
    this.#ranks = new Map(model.merges.map(([left, right], rank) => [`${left} ${right}`, rank]));
    this.#spellings = new Map(Array.from(this.#ids, ([token, id]) => [id, token]));
    this.vocabularySize = this.#ids.size;
    this.idCount = Math.max(...this.#ids.values()) + 1;
  }

  /**
   * @param vocabulary contents of vocab.json @param merges contents of merges.txt: a line of comment, then a pair a line
   * @throws DataError
   */
  static fromFiles(vocabulary: string, merges: string, where: string): MinDalleTokenizer {
    let vocab: unknown;
    try {
      vocab = JSON.parse(vocabulary);
    } catch {
      throw unusable('its vocab.json is not JSON', where);
    }
    // As min-dalle reads it: the first line is a comment, the last one has no end.
    const lines = merges.split(/\r?\n/).slice(1, -1);
    const pairs = lines.map((line) => line.split(/\s+/).filter(Boolean));
    return MinDalleTokenizer.fromJSON({ model: { type: TYPE, vocab, merges: pairs } }, where);
  }

  /** @throws DataError */
  static fromJSON(value: unknown, where: string): MinDalleTokenizer {
    const parsed = schema.safeParse(isObject(value) ? value.model : undefined);
    if (parsed.success) return new MinDalleTokenizer(parsed.data, where);
    const [issue] = parsed.error.issues;
    throw unusable(`${issue?.path.join('.')}: ${issue?.message}`, where);
  }

  encode(text: string): number[] {
    return asciiOf(text)
      .split(' ')
      .flatMap((word) => (word === '' ? [] : this.#encodeWord(word)));
  }

  #encodeWord(word: string): readonly number[] {
    let ids = this.#cache.get(word);
    if (!ids) {
      ids = this.#merged([SPACE, ...word]).map((part) => this.#ids.get(part) ?? this.#unknown);
      if (this.#cache.size < MAX_CACHED_WORDS) this.#cache.set(word, ids);
    }
    return ids;
  }

  /** Merges the first of the pairs of least rank until no pair is known. */
  #merged(parts: string[]): string[] {
    for (;;) {
      let best = Number.POSITIVE_INFINITY;
      let at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.#ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Number.POSITIVE_INFINITY;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts;
      parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`);
    }
  }

  decode(ids: readonly number[]): string {
    const parts = ids.map((id) => {
      const spelling = this.#spellings.get(id);
      if (spelling === undefined) throw new RangeError(`${id} is the id of no token`);
      return SPECIAL.includes(spelling) ? '' : spelling;
    });
    return parts.join('').replaceAll(SPACE, ' ').trim();
  }

  unread(text: string): string {
    const characters = [...new Set(demojize(text).toLowerCase())];
    const isRead = (character: string): boolean =>
      character === ' ' ||
      (character <= '\x7f' && this.#ids.has(character)) ||
      /\p{M}|\p{Cf}/u.test(character);
    return characters.filter((character) => !isRead(character)).join('');
  }

  toJSON(): object {
    return { model: this.#model };
  }
}

/** Emojis by name, in lower case, without characters beyond ASCII. */
const asciiOf = (text: string): string =>
  demojize(text)
    .toLowerCase()
    .replaceAll(/[^\0-\x7f]/g, '');
