// The models of a tokenizer.json, each as Hugging Face's tokenizers (Rust) does it: a piece of normalized text to ids.

import { z } from 'zod';
import { isObject, mergeSchema } from '../tokenizer-json.ts';
import { bytePairs } from './byte-pairs.ts';
import { type Fail, idIn, type Model } from './model.ts';
import { unigram } from './unigram.ts';
import { wordPieces } from './word-pieces.ts';

// Not z.record, which drops a token spelled __proto__.
const vocabulary = z
  .custom<Record<string, unknown>>(isObject, 'is not a map of tokens to ids')
  .transform((vocab, context) => {
    const ids = new Map<string, number>();
    for (const [token, id] of Object.entries(vocab)) {
      if (typeof id === 'number' && Number.isInteger(id) && id >= 0) ids.set(token, id);
      else context.addIssue({ code: 'custom', message: `token ${token} has the id ${id}` });
    }
    return ids;
  });
const affix = z
  .string()
  .nullish()
  .transform((text) => text ?? '');

const bpe = z.object({
  type: z.literal('BPE'),
  dropout: z.union([z.null(), z.literal(0)], 'must be null: ids would be random').optional(),
  unk_token: z.string().nullish(),
  continuing_subword_prefix: affix,
  end_of_word_suffix: affix,
  fuse_unk: z.boolean().default(false),
  byte_fallback: z.boolean().default(false),
  ignore_merges: z.boolean().default(false),
  vocab: vocabulary,
  merges: z.array(mergeSchema),
});
const wordPiece = z.object({
  type: z.literal('WordPiece'),
  unk_token: z.string(),
  continuing_subword_prefix: z.string(),
  max_input_chars_per_word: z.int().positive(),
  vocab: vocabulary,
});
const wordLevel = z.object({ type: z.literal('WordLevel'), unk_token: z.string(), vocab: vocabulary });
const unigramSchema = z.object({
  type: z.literal('Unigram'),
  unk_id: z.int().min(0).nullish(),
  float32: z.boolean().default(false),
  byte_fallback: z.boolean().default(false),
  vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
});

const kinds = z.discriminatedUnion('type', [bpe, wordPiece, wordLevel, unigramSchema]);

/** Files before 2020 do not name their kind of model. */
export const modelSchema = z.preprocess((value) => {
  if (!isObject(value) || value.type !== undefined) return value;
  if (Array.isArray(value.merges)) return { ...value, type: 'BPE' };
  if (Array.isArray(value.vocab)) return { ...value, type: 'Unigram' };
  return { ...value, type: 'continuing_subword_prefix' in value ? 'WordPiece' : 'WordLevel' };
}, kinds);

export function createModel(settings: z.output<typeof kinds>, fail: Fail): Model {
  switch (settings.type) {
    case 'BPE':
      return bytePairs(settings, fail);
    case 'WordPiece':
      return wordPieces(settings, fail);
    case 'WordLevel': {
      const unknown = idIn(settings.vocab, fail)(settings.unk_token);
      return { ids: settings.vocab, encode: (piece) => [settings.vocab.get(piece) ?? unknown] };
    }
    case 'Unigram':
      return unigram(settings, fail);
  }
}
