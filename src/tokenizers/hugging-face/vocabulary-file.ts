// BERT's vocab.txt: a token a line. Whether it is cased stands in the tokenizer_config.json beside it.

import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { specialToken } from './added-tokens.ts';

const UNKNOWN = '[UNK]';
const FIX = 'name a tokenizer.json, or put the tokenizer_config.json of the model beside it';

const configSchema = z.object({
  do_lower_case: z.boolean(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().default(true),
});

/** Whether a text is such a file. */
export const isVocabulary = (text: string): boolean => /^\[UNK\]\r?$/m.test(text);

/**
 * The tokenizer.json of a vocabulary file.
 * @param config the contents of tokenizer_config.json
 * @throws DataError when the configuration does not say whether the vocabulary is cased
 */
export function wordPieceJson(text: string, config: string | undefined, where: string): object {
  const settings = readConfig(config, where);
  const tokens = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const special = ['[PAD]', UNKNOWN, '[CLS]', '[SEP]', '[MASK]'].filter((token) => tokens.includes(token));
  const around = (token: string) => [token, tokens.indexOf(token)];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special.map((content) => specialToken(tokens.indexOf(content), content)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: settings.tokenize_chinese_chars,
      strip_accents: settings.strip_accents ?? null,
      lowercase: settings.do_lower_case,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: special.includes('[CLS]') &&
      special.includes('[SEP]') && { type: 'BertProcessing', sep: around('[SEP]'), cls: around('[CLS]') },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: UNKNOWN,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  };
}

function readConfig(config: string | undefined, where: string): z.output<typeof configSchema> {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(what, { code: 'E_TOKENIZER_UNUSABLE', where, fix: FIX, cause });
  };
  if (config === undefined) return fail("BERT's vocab.txt, which does not say whether it is cased");
  let value: unknown;
  try {
    value = JSON.parse(config);
  } catch (cause) {
    return fail('the tokenizer_config.json beside it is not JSON', cause);
  }
  const parsed = configSchema.safeParse(value);
  return parsed.success ? parsed.data : fail('the tokenizer_config.json beside it has no do_lower_case');
}
