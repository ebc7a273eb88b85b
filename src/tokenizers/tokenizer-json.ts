// The tokenizer.json of mm train-bpe: `tokenizers` and `transformers` load it and give the same ids. Files with other
// steps encode differently; hugging-face/ reads those.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { ALPHABET, tokenBytes } from './alphabet.ts';
import type { Merge } from './merges.ts';

/** An encoding: tokens in the byte alphabet by id, and merges by rank. */
export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly merges: readonly Merge[];
}

const NORMALIZER = {
  type: 'Sequence',
  normalizers: [
    { type: 'Lowercase' },
    { type: 'NFC' },
    { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
    { type: 'Strip', strip_left: true, strip_right: true },
  ],
};
const PRE_TOKENIZER = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
const DECODER = {
  type: 'Sequence',
  decoders: [
    { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ],
};

/** The contents of a tokenizer.json, for JSON.stringify. */
export function toTokenizerJson({ tokens, merges }: Vocabulary): object {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: NORMALIZER,
    pre_tokenizer: PRE_TOKENIZER,
    post_processor: null,
    decoder: DECODER,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      // The older of two forms, which all versions read; tokens have no spaces.
      merges: merges.map(({ left, right }) => `${tokens[left]} ${tokens[right]}`),
    },
  };
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

export const mergeSchema = z.union([
  z.tuple([z.string(), z.string()]),
  z.string().transform((text, context): [string, string] => {
    const [left, right, ...rest] = text.split(' ');
    if (left && right && rest.length === 0) return [left, right];
    context.addIssue({ code: 'custom', message: 'a merge is two tokens' });
    return z.NEVER;
  }),
]);

const nothing = z.union([z.null(), z.literal('')]).optional();

const added_tokens = z.array(z.unknown()).max(0, 'added tokens are not supported').optional();
const schema = z.object({
  added_tokens,
  normalizer: same(NORMALIZER),
  pre_tokenizer: same(PRE_TOKENIZER),
  model: z.object({
    type: z.literal('BPE'),
    dropout: z.null().optional(),
    continuing_subword_prefix: nothing,
    end_of_word_suffix: nothing,
    ignore_merges: z.literal(false).optional(),
    // Not z.record, which drops a token spelled __proto__.
    vocab: z.custom<Record<string, unknown>>(isObject, 'is not a map of tokens to ids'),
    merges: z.array(mergeSchema),
  }),
});

/** A schema for exactly `expected`, with its keys in any order. */
function same(expected: object): z.ZodType {
  const equals = (value: unknown, other: unknown): boolean =>
    isObject(other) || Array.isArray(other)
      ? (isObject(value) || Array.isArray(value)) &&
        Array.isArray(value) === Array.isArray(other) &&
        Object.keys(value).length === Object.keys(other).length &&
        Object.entries(other).every(([key, child]) => equals(Reflect.get(value, key), child))
      : value === other;
  return z.custom((value) => equals(value, expected), 'differs from what mm train-bpe writes');
}

/** Whether a parsed tokenizer.json has the steps and the alphabet of those of mm train-bpe. */
export function isTrained(value: unknown): boolean {
  if (!isObject(value) || !isObject(value.model) || !isObject(value.model.vocab)) return false;
  const { vocab } = value.model;
  const isPlain = z.object({
    normalizer: same(NORMALIZER),
    pre_tokenizer: same(PRE_TOKENIZER),
    added_tokens,
  });
  return isPlain.safeParse(value).success && ALPHABET.every((character) => Object.hasOwn(vocab, character));
}

/** Tokens by id, from a map of tokens to ids. `spell` returns undefined for a token that is not spelled correctly. */
export function readTokens(
  vocab: Record<string, unknown>,
  fail: (what: string) => never,
  spell: (token: string) => unknown = tokenBytes,
): string[] {
  const entries = Object.entries(vocab);
  const tokens = new Array<string>(entries.length);
  for (const [token, id] of entries) {
    const isIndex = typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < tokens.length;
    if (!isIndex || id in tokens)
      fail(`token ${token} has the id ${id}; ids are 0 to ${tokens.length - 1}, each used once`);
    if (spell(token) === undefined) fail(`token ${token} is not spelled in the byte alphabet`);
    tokens[id as number] = token;
  }
  return tokens;
}

/**
 * Reads a parsed tokenizer.json.
 * @throws DataError when it is of another kind, or its vocabulary and merges do not match
 */
export function fromTokenizerJson(value: unknown, where: string): Vocabulary {
  const fail = (what: string): never => {
    const fix = 'name a tokenizer.json written by mm train-bpe';
    throw new DataError(`not a usable tokenizer: ${what}`, { code: 'E_TOKENIZER_UNUSABLE', where, fix });
  };
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return fail(`${issue?.path.join('.') || 'the file'}: ${issue?.message}`);
  }
  const tokens = readTokens(parsed.data.model.vocab, fail);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const idOf = (token: string): number => ids.get(token) ?? fail(`token "${token}" is not in the vocabulary`);
  for (const character of ALPHABET) idOf(character);
  const seen = new Set<string>();
  const merges = parsed.data.model.merges.map(([left, right]): Merge => {
    const merge = { left: idOf(left), right: idOf(right), result: idOf(left + right) };
    if (seen.has(left + right)) fail(`token "${left + right}" has two merges`);
    seen.add(left + right);
    return merge;
  });
  return { tokens, merges };
}
