// dalle-mini's config.json: what its weights do not say, and what mm does not have.

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { unusable } from './weights.ts';

const schema = z.looseObject({
  encoder_attention_heads: z.int().positive(),
  decoder_attention_heads: z.int().positive(),
  decoder_start_token_id: z.int().min(0),
  activation_function: z.string().default('gelu'),
  ln_positions: z.string().default('normformer'),
  ln_type: z.string().default('layernorm'),
  use_glu: z.boolean().default(true),
  use_bias: z.boolean().default(false),
  use_absolute_position_embeddings: z.boolean().default(true),
  use_swin_position_embeddings: z.boolean().default(false),
  use_alibi: z.boolean().default(false),
  use_cosine_attention: z.boolean().default(false),
  use_head_scale: z.boolean().default(false),
  use_deepnet_scaling: z.boolean().default(false),
  use_final_ln_encoder: z.boolean().default(true),
  use_final_ln_decoder: z.boolean().default(true),
  scale_embedding: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  normalize_text: z.boolean().default(false),
});

/** What the published models have, and the only ones that mm has. */
const ONLY = {
  activation_function: 'gelu',
  ln_positions: 'normformer',
  ln_type: 'layernorm',
  use_glu: true,
  use_bias: false,
  use_absolute_position_embeddings: true,
  use_swin_position_embeddings: false,
  use_alibi: false,
  use_cosine_attention: false,
  use_head_scale: false,
  use_deepnet_scaling: false,
  use_final_ln_encoder: true,
  use_final_ln_decoder: true,
  scale_embedding: false,
  tie_word_embeddings: false,
} as const satisfies Partial<z.output<typeof schema>>;

/** @throws DataError for a file that is no such configuration, or one of a model that mm does not have */
export async function flaxSettings(path: string, notes: string[]) {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw readError(cause, path, 'configuration');
  });
  const config = parse(text, path);
  for (const [key, wanted] of Object.entries(ONLY)) {
    const value = config[key as keyof typeof ONLY];
    if (value !== wanted)
      throw unusable(
        `a DALL·E mini with ${key} ${value}, where mm has those with ${wanted}`,
        path,
        'convert one as mini-1 and mega-1 were published',
      );
  }
  if (config.normalize_text)
    notes.push(
      'captions were normalized in training (normalize_text); mm does not do it: write prompts in lower case, without numbers spelled oddly or links',
    );
  return {
    heads: config.encoder_attention_heads,
    decoderHeads: config.decoder_attention_heads,
    imageStart: config.decoder_start_token_id,
  };
}

function parse(text: string, where: string): z.output<typeof schema> {
  const bad = (what: string): DataError =>
    new DataError(`not the configuration of a DALL·E mini: ${what}`, {
      code: 'E_WEIGHTS_MISMATCH',
      where,
      fix: 'give the config.json that belongs to the weights',
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad('it is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(`${issue?.path.join('.')}: ${issue?.message}`);
}
