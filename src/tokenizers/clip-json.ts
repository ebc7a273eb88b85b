// The tokenizer.json of CLIP's byte-pair tokenizer: its steps, written and recognised.

import { z } from 'zod';
import { DataError } from '../util/errors.ts';
import { BYTE_CHARACTERS } from './alphabet.ts';
import { CLEANINGS, type Cleaning } from './cleaning/clean.ts';
import { specialToken } from './hugging-face/added-tokens.ts';
import type { Merge } from './merges.ts';
import { isObject, mergeSchema } from './tokenizer-json.ts';

export const END_OF_WORD = '</w>';
export const START = '<|startoftext|>';
export const END = '<|endoftext|>';
const REGEX = String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
/** Older files do not name the special tokens, which are split off earlier. */
const OLDER_REGEX = REGEX.slice(REGEX.indexOf("'s"));

const FIX =
  'name the tokenizer.json of a CLIP, or its merges file (bpe_simple_vocab_16e6.txt.gz, merges.txt)';
export const unusable = (what: string, where: string): DataError =>
  new DataError(`not a usable CLIP tokenizer: ${what}`, { code: 'E_TOKENIZER_UNUSABLE', where, fix: FIX });

const split = z.object({
  type: z.literal('Split'),
  pattern: z.object({ Regex: z.enum([REGEX, OLDER_REGEX]) }),
  behavior: z.literal('Removed'),
  invert: z.literal(true),
});
const byteLevel = z.object({ type: z.literal('ByteLevel'), add_prefix_space: z.literal(false) });
export const clipSchema = z.object({
  cleaning: z.enum(CLEANINGS).optional(),
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

/** Whether a parsed tokenizer.json has the steps and the alphabet of CLIP's, and its start and end token as the last ids. */
export function isClipTokenizer(value: unknown): boolean {
  const steps = clipSchema.pick({ normalizer: true, pre_tokenizer: true }).safeParse(value);
  if (!steps.success || !isObject(value) || !isObject(value.model) || !isObject(value.model.vocab))
    return false;
  const { vocab, end_of_word_suffix: suffix } = value.model;
  const size = Object.keys(vocab).length;
  const isWhole = BYTE_CHARACTERS.every((character) => Object.hasOwn(vocab, character + END_OF_WORD));
  return isWhole && suffix === END_OF_WORD && vocab[START] === size - 2 && vocab[END] === size - 1;
}

/** The contents of a tokenizer.json, for JSON.stringify. */
export function clipJson(tokens: readonly string[], merges: readonly Merge[], cleaning?: Cleaning): object {
  const size = tokens.length;
  const spelled = (id: number): string => tokens[id] as string;
  return {
    ...(cleaning && { cleaning }),
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [specialToken(size, START), specialToken(size + 1, END)],
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
      vocab: Object.fromEntries([...tokens, START, END].map((token, id) => [token, id])),
      merges: merges.map(({ left, right }) => `${spelled(left)} ${spelled(right)}`),
    },
  };
}
