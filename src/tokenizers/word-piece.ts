// BERT's uncased WordPiece tokenizer from a Hugging Face tokenizer.json, with the ids that transformers gives (CLIPA's text
// tower reads it). A word is cut into the longest pieces of the vocabulary; a word that cannot be cut is one unknown token.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import type { Tokenizer } from './tokenizer.ts';
import { isObject, readTokens } from './tokenizer-json.ts';

/** Prefix of the pieces inside a word. */
const INNER = '##';
const MAX_WORD_CHARACTERS = 100;

const ASCII_PUNCTUATION = /[!-/:-@[-`{-~]/;
const PUNCTUATION = /\p{P}/u;
const MARK = /\p{Mn}/gu;
const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/u;
const WHITE_SPACE = /\p{White_Space}/u;
/** Blocks of Chinese characters, each of which is a word. */
const CHINESE =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/u;

const template = z.object({
  type: z.literal('TemplateProcessing'),
  single: z.tuple([
    z.object({ SpecialToken: z.object({ id: z.string() }) }),
    z.object({ Sequence: z.object({}) }),
    z.object({ SpecialToken: z.object({ id: z.string() }) }),
  ]),
});
const schema = z.object({
  added_tokens: z.array(z.object({ id: z.int(), content: z.string().min(1), special: z.literal(true) })),
  normalizer: z.object({
    type: z.literal('BertNormalizer'),
    clean_text: z.literal(true),
    handle_chinese_chars: z.literal(true),
    strip_accents: z.union([z.null(), z.literal(true)]).optional(),
    lowercase: z.literal(true),
  }),
  pre_tokenizer: z.object({ type: z.literal('BertPreTokenizer') }),
  post_processor: template,
  model: z.object({
    type: z.literal('WordPiece'),
    unk_token: z.string(),
    continuing_subword_prefix: z.literal(INNER),
    max_input_chars_per_word: z.literal(MAX_WORD_CHARACTERS),
    vocab: z.custom<Record<string, unknown>>(isObject, 'is not a map of tokens to ids'),
  }),
});

const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable WordPiece tokenizer: ${what}`, {
    code: 'E_TOKENIZER_UNUSABLE',
    where,
    fix: 'name the tokenizer.json of an uncased BERT',
  });

/** Whether a parsed tokenizer.json is of this kind. */
export const isWordPieceTokenizer = (value: unknown): boolean =>
  isObject(value) && isObject(value.model) && value.model.type === 'WordPiece';

/** Lower case without accents; white space around Chinese characters. */
function normalize(text: string): string {
  let result = '';
  for (const character of text) {
    if (/[\t\n\r]/.test(character) || WHITE_SPACE.test(character)) result += ' ';
    else if (character === '\uFFFD' || CONTROL.test(character)) continue;
    else result += CHINESE.test(character) ? ` ${character} ` : character;
  }
  return result.normalize('NFD').replace(MARK, '').replaceAll('Σ', 'σ').toLowerCase();
}

/** Words and single punctuation marks. */
function words(text: string): string[] {
  const result: string[] = [];
  let word = '';
  const end = (): void => {
    if (word !== '') result.push(word);
    word = '';
  };
  for (const character of text) {
    if (WHITE_SPACE.test(character)) end();
    else if (ASCII_PUNCTUATION.test(character) || PUNCTUATION.test(character)) {
      end();
      result.push(character);
    } else word += character;
  }
  end();
  return result;
}

export class WordPieceTokenizer implements Tokenizer {
  readonly #json: object;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #special: ReadonlyMap<string, number>;
  readonly #cut: RegExp;
  readonly #unknown: number;
  /** Ids before and after a text. */
  readonly start: number;
  readonly end: number;

  private constructor(json: object, where: string) {
    const fail = (what: string): never => {
      throw unusable(what, where);
    };
    const parsed = schema.safeParse(json);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw unusable(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`, where);
    }
    const { added_tokens, model, post_processor } = parsed.data;
    const tokens = readTokens(model.vocab, fail, (token) => token);
    const idOf = (token: string): number =>
      this.#ids.get(token) ?? fail(`token "${token}" is not in the vocabulary`);
    this.#json = json;
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    for (const { id, content } of added_tokens)
      if (idOf(content) !== id) fail(`token "${content}" has two ids`);
    this.#special = new Map(added_tokens.map(({ id, content }) => [content, id]));
    const escaped = added_tokens.map(({ content }) => content.replace(/[^\w\s]/g, '\\$&'));
    this.#cut = new RegExp(escaped.length > 0 ? `(${escaped.join('|')})` : '(?!)');
    this.#unknown = idOf(model.unk_token);
    const [before, , after] = post_processor.single;
    this.start = idOf(before.SpecialToken.id);
    this.end = idOf(after.SpecialToken.id);
  }

  get vocabularySize(): number {
    return this.#ids.size;
  }

  /** The id of `token`, such as `[PAD]`, if it is one. */
  idOf(token: string): number | undefined {
    return this.#ids.get(token);
  }

  encode(text: string): number[] {
    return text.split(this.#cut).flatMap((part) => {
      const special = this.#special.get(part);
      return special === undefined ? words(normalize(part)).flatMap((word) => this.#pieces(word)) : [special];
    });
  }

  #pieces(word: string): number[] {
    const characters = [...word];
    if (characters.length > MAX_WORD_CHARACTERS) return [this.#unknown];
    const ids: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start && id === undefined; end--)
        id = this.#ids.get((start > 0 ? INNER : '') + characters.slice(start, end).join(''));
      if (id === undefined) return [this.#unknown];
      ids.push(id);
      start = end + 1;
    }
    return ids;
  }

  /** The tokenizer.json that it was read from. */
  toJSON(): object {
    return this.#json;
  }

  /**
   * From a parsed tokenizer.json.
   * @throws DataError when it is of another kind, or its vocabulary is not consistent
   */
  static fromJSON(value: unknown, where: string): WordPieceTokenizer {
    return new WordPieceTokenizer(isObject(value) ? value : {}, where);
  }
}
