// ruCLIP (the package `ruclip`): weights named as OpenAI's, a config.json of sizes, and a byte-pair model of YouTokenToMe.

import { z } from 'zod';
import { OPENAI_MEAN, OPENAI_STDDEV } from '../../config/clip-towers.ts';
import { YouTokenToMeTokenizer } from '../../tokenizers/youtokentome.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { ConvertOptions, ExternalFiles } from '../external.ts';
import { misfit, type StateDict } from '../tensors.ts';
import type { NamedTokenizer } from './tokenizer-config.ts';
import type { ClipSettings } from './weights.ts';

/** Width of the image tower's heads; a constant of the package. */
const HEAD_WIDTH = 64;
/** <BOS>, <EOS> and <PAD>; constants of the package. */
const SPECIAL_TOKENS = { start: 2, end: 3, padding: 0 } as const;

const TOKENIZER = 'bpe.model';

const whole = z.int().positive();
const schema = z.looseObject({
  embed_dim: whole,
  image_resolution: whole,
  vision_layers: whole,
  vision_width: whole,
  vision_patch_size: whole,
  context_length: whole,
  vocab_size: whole,
  transformer_width: whole,
  transformer_heads: whole,
  transformer_layers: whole,
  mean: z.array(z.number()).length(3).nullish(),
  std: z.array(z.number().positive()).length(3).nullish(),
});
export type RuClipConfig = z.output<typeof schema>;

const isOfRuClip = (value: unknown): boolean =>
  z.looseObject({ vision_patch_size: z.unknown(), transformer_heads: z.unknown() }).safeParse(value).success;

/**
 * The configuration of a ruCLIP; undefined where the files are of another CLIP.
 * @param value the contents of the files' config.json, if there is one
 * @throws DataError E_WEIGHTS_INCOMPLETE where there is its tokenizer alone; E_WEIGHTS_MISMATCH where sizes are missing
 */
export function ruClipConfig(files: ExternalFiles, value: unknown): RuClipConfig | undefined {
  const where = files.named('config.json') ?? files.where;
  if (!isOfRuClip(value)) {
    if (files.named(TOKENIZER) === undefined) return undefined;
    throw new DataError("beside ruCLIP's bpe.model is not its config.json", {
      code: 'E_WEIGHTS_INCOMPLETE',
      where,
      fix: 'convert the whole folder: pytorch_model.bin, config.json and bpe.model',
    });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(`not the configuration of a ruCLIP: ${issue?.path.join('.')}: ${issue?.message}`, {
    code: 'E_WEIGHTS_MISMATCH',
    where,
    fix: 'fetch config.json again',
  });
}

/** @throws DataError E_WEIGHTS_MISMATCH where the weights are another model's */
export function assertOfConfig(tensors: StateDict, config: RuClipConfig, where: string): void {
  const size = (name: string, axis: number): number => tensors.get(name)?.shape[axis] ?? 0;
  const blocks = (prefix: string): number => {
    const pattern = new RegExp(`^${prefix}transformer\\.resblocks\\.(\\d+)\\.`);
    return new Set([...tensors.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  };
  const patch = size('visual.conv1.weight', 2);
  const found: Partial<RuClipConfig> = {
    embed_dim: size('text_projection', 1),
    image_resolution: Math.sqrt(size('visual.positional_embedding', 0) - 1) * patch,
    vision_layers: blocks('visual\\.'),
    vision_width: size('visual.conv1.weight', 0),
    vision_patch_size: patch,
    context_length: size('positional_embedding', 0),
    vocab_size: size('token_embedding.weight', 0),
    transformer_width: size('positional_embedding', 1),
    transformer_layers: blocks(''),
  };
  for (const [key, value] of Object.entries(found))
    if (config[key] !== value)
      throw misfit(`${key} is ${config[key]}, the weights have ${value}`, where, 'a ruCLIP');
  if (config.transformer_width % config.transformer_heads !== 0)
    throw misfit(
      `${config.transformer_heads} heads do not divide ${config.transformer_width}`,
      where,
      'a ruCLIP',
    );
}

/** What its tensors do not tell. */
export function ruClipSettings(config: RuClipConfig, options: ConvertOptions): ClipSettings {
  const { imageSize: size, textLength: length, mean, std } = options;
  return {
    activation: 'quick-gelu',
    image: {
      heads: Math.floor(config.vision_width / HEAD_WIDTH),
      mean: [...(mean ?? config.mean ?? OPENAI_MEAN)],
      stddev: [...(std ?? config.std ?? OPENAI_STDDEV)],
      interpolation: 'bilinear',
      ...(size && { size }),
    },
    text: {
      heads: config.transformer_heads,
      specialTokens: SPECIAL_TOKENS,
      ...(length && { length }),
    },
  };
}

/** Its tokenizer, which lower-cases texts. @throws UsageError where it is of another kind */
export function ruClipTokenizer(named: NamedTokenizer): NamedTokenizer {
  const { tokenizer, path } = named;
  if (tokenizer instanceof YouTokenToMeTokenizer) return { ...named, tokenizer: tokenizer.lowerCased() };
  throw new UsageError('not a model of YouTokenToMe, which ruCLIP reads its texts with', {
    code: 'E_TOKENIZER_MISMATCH',
    option: 'tokenizer',
    where: path,
    fix: 'give bpe.model of the same repository',
  });
}
