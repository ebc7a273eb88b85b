// What transformers' files beside a tokenizer say of it: tokenizer_config.json and special_tokens_map.json.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { HuggingFaceTokenizer } from '../../tokenizers/hugging-face/tokenizer.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';

const token = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish();
const schema = z.object({
  tokenizer_class: z.string().nullish(),
  pad_token: token,
  padding_side: z.enum(['left', 'right']).nullish(),
  do_lower_case: z.boolean().nullish(),
});
export type TokenizerConfig = z.output<typeof schema>;

export interface NamedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly path: string;
  /** What the files beside it say of it. */
  readonly config: TokenizerConfig;
}

/**
 * Of the tokenizer in the file `path`; empty without such files.
 * @throws DataError E_TOKENIZER_UNUSABLE when one is damaged
 */
export async function readTokenizerConfig(path: string): Promise<TokenizerConfig> {
  const [map, config] = await Promise.all(
    ['special_tokens_map.json', 'tokenizer_config.json'].map((name) => read(join(dirname(path), name))),
  );
  return { ...map, ...config };
}

async function read(path: string): Promise<TokenizerConfig> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return {};
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError('the file beside the tokenizer cannot be read', {
      code: 'E_TOKENIZER_UNUSABLE',
      where: path,
      fix: 'fetch it again',
      cause,
    });
  }
}

/** The id of the padding: of the token that the files name, or of one that is usually it. */
export const paddingOf = (
  { config }: Pick<NamedTokenizer, 'config'>,
  tokenizer: HuggingFaceTokenizer,
): number =>
  (config.pad_token ? tokenizer.idOf(config.pad_token) : undefined) ??
  tokenizer.idOf('[PAD]') ??
  tokenizer.idOf('<pad>') ??
  0;
