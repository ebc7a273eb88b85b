// YouTokenToMe's byte-pair tokenizer, from the model file of its trainer: words that begin with ▁, made of characters,
// merged by rules in their order; characters that it does not know are one unknown token. Its tokens cannot be told apart
// by their spelling alone, so its tokenizer.json has the numbers of the model file instead of tokens.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { trimmed } from './cleaning/clean.ts';
import { MergeTable } from './merges.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';
import { isObject } from './tokenizer-json.ts';
import { SPACE, youTokenToMeJson } from './youtokentome-json.ts';

/** C's white space, and the mark itself. */
const SPACES = /[\t-\r ▁]+/;
const TYPE = 'YouTokenToMe';
const MAX_CACHED_WORDS = 2 ** 16;
const MAX_CACHED_LENGTH = 64;

const id = z.int().min(0);
const schema = z.object({
  type: z.literal(TYPE),
  characters: z.array(z.tuple([z.string().min(1), id])),
  rules: z.array(z.tuple([id, id, id])),
  special: z.object({ unknown: z.int(), padding: z.int(), start: z.int(), end: z.int() }),
  /** Texts in lower case, without white space around them, as ruDALL-E and ruCLIP have them. */
  lowerCase: z.boolean().optional(),
});
type Model = z.output<typeof schema>;

const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable YouTokenToMe model: ${what}`, {
    code: 'E_TOKENIZER_UNUSABLE',
    where,
    fix: 'name the file that yttm bpe or yttm.BPE.train wrote',
  });

/** Whether a text begins like a model file: two counts, then a character and its id. */
export const isYouTokenToMe = (text: string): boolean => /^\d+ \d+\r?\n\d+ \d+\r?\n/.test(text);
export const isYouTokenToMeJson = (value: unknown): boolean =>
  isObject(value) && isObject(value.model) && value.model.type === TYPE;

export class YouTokenToMeTokenizer implements Tokenizer {
  readonly #model: Model;
  readonly #characters: ReadonlyMap<string, number>;
  readonly #table: MergeTable;
  /** Spelling of each token that is not special. */
  readonly #spellings = new Map<number, string>();
  readonly #cache = new Map<string, readonly number[]>();
  readonly vocabularySize: number;
  readonly hasDropout = true;

  private constructor(model: Model, where: string) {
    const { characters, rules, special } = model;
    this.#model = model;
    this.#characters = new Map(characters);
    if (!this.#characters.has(SPACE)) throw unusable(`it has no character ${SPACE}`, where);
    for (const [character, id] of characters) this.#spellings.set(id, character);
    for (const [left, right, result] of rules) {
      const parts = [left, right].map((id) => this.#spellings.get(id));
      if (parts.includes(undefined) || this.#spellings.has(result))
        throw unusable(`the rule ${left} ${right} ${result} is of no token, or makes one twice`, where);
      this.#spellings.set(result, parts.join(''));
    }
    const ids = [...this.#spellings.keys(), ...Object.values(special)];
    this.vocabularySize = ids.reduce((last, id) => Math.max(last, id), 0) + 1;
    if (special.unknown < 0) throw unusable('it has no id of unknown characters', where);
    this.#table = new MergeTable(
      rules.map(([left, right, result]) => ({ left, right, result })),
      this.vocabularySize,
    );
  }

  get idCount(): number {
    return this.vocabularySize;
  }

  encode(text: string, { dropout = 0, random }: EncodeOptions = {}): number[] {
    const given = this.#model.lowerCase ? trimmed(text.toLowerCase()) : text;
    const words = given.split(SPACES).filter((word) => word !== '');
    if (dropout === 0) return words.flatMap((word) => this.#wordIds(word));
    if (random === undefined) throw new RangeError('dropout needs a random stream');
    return words.flatMap((word) => this.#table.apply(this.#symbols(word), () => random.uniform() < dropout));
  }

  decode(ids: readonly number[]): string {
    const { unknown, ...others } = this.#model.special;
    const spelled = ids.map((id) => {
      const spelling = this.#spellings.get(id);
      if (spelling !== undefined) return spelling;
      if (id === unknown) return '\ufffd';
      if (Object.values(others).includes(id)) return '';
      throw new RangeError(`no token ${id} in a vocabulary of ${this.vocabularySize}`);
    });
    return spelled.join('').replaceAll(SPACE, ' ').trim();
  }

  #wordIds(word: string): readonly number[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const ids = this.#table.apply(this.#symbols(word));
    if (this.#cache.size < MAX_CACHED_WORDS && word.length <= MAX_CACHED_LENGTH) this.#cache.set(word, ids);
    return ids;
  }

  #symbols(word: string): number[] {
    const { unknown } = this.#model.special;
    const ids = Array.from(SPACE + word, (character) => this.#characters.get(character) ?? unknown);
    return ids.filter((id, i) => id !== unknown || ids[i - 1] !== unknown);
  }

  /** The same tokenizer for texts in lower case, without white space around them. */
  lowerCased(): YouTokenToMeTokenizer {
    return new YouTokenToMeTokenizer({ ...this.#model, lowerCase: true }, '');
  }

  toJSON(): object {
    return { version: '1.0', model: this.#model };
  }

  /** The contents of a tokenizer.json of Hugging Face's programs, with the same ids. Throws DataError, see there. */
  toHuggingFace(where: string): object {
    return youTokenToMeJson(this.#model, where);
  }

  /** Throws DataError when the numbers do not make a model. */
  static fromJSON(value: unknown, where: string): YouTokenToMeTokenizer {
    const parsed = z.object({ model: schema }).safeParse(value);
    if (parsed.success) return new YouTokenToMeTokenizer(parsed.data.model, where);
    const [issue] = parsed.error.issues;
    throw unusable(`${issue?.path.join('.')}: ${issue?.message}`, where);
  }

  /**
   * From a model file: counts of characters and rules; a code point and its id a line; two ids and their merged one a
   * line; the ids of unknown, padding, start and end.
   * @throws DataError when it is not such a file
   */
  static fromModel(text: string, where: string): YouTokenToMeTokenizer {
    const numbers = text.trim().split(/\s+/).map(Number);
    if (numbers.some((number) => !Number.isInteger(number)))
      throw unusable('it has more than numbers', where);
    const [characters = 0, rules = 0] = numbers;
    const expected = 2 + 2 * characters + 3 * rules + 4;
    if (numbers.length !== expected)
      throw unusable(`it has ${numbers.length} numbers, where its counts ask for ${expected}`, where);
    const at = (i: number): number => numbers[i] as number;
    const first = 2 + 2 * characters;
    const last = first + 3 * rules;
    const model = {
      type: TYPE,
      characters: Array.from({ length: characters }, (_, i) => {
        const code = at(2 + 2 * i);
        if (code < 0 || code > 0x10ffff) throw unusable(`${code} is no character`, where);
        return [String.fromCodePoint(code), at(3 + 2 * i)];
      }),
      rules: Array.from({ length: rules }, (_, i) => [0, 1, 2].map((k) => at(first + 3 * i + k))),
      special: { unknown: at(last), padding: at(last + 1), start: at(last + 2), end: at(last + 3) },
    };
    return YouTokenToMeTokenizer.fromJSON({ model }, where);
  }
}
