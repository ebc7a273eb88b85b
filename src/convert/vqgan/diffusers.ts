// The settings of a VQModel of diffusers, from the config.json beside its weights.

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { vqganModelSchema } from '../../config/vqgan.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { unsupported } from './settings.ts';

const whole = z.int().positive();
/** The class's default, which a configuration has whatever the images were. */
export const DEFAULT_SAMPLE_SIZE = 32;

/** With the defaults of the class. */
const configSchema = z.looseObject({
  _class_name: z.string().default('VQModel'),
  in_channels: whole.default(3),
  out_channels: whole.default(3),
  down_block_types: z.array(z.string()).default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.string()).default(['UpDecoderBlock2D']),
  block_out_channels: z.array(whole).min(1).default([64]),
  layers_per_block: whole.default(1),
  act_fn: z.string().default('silu'),
  latent_channels: whole.default(3),
  sample_size: whole.default(DEFAULT_SAMPLE_SIZE),
  num_vq_embeddings: whole.default(256),
  norm_num_groups: whole.default(32),
  vq_embed_dim: whole.nullish(),
  norm_type: z.string().default('group'),
  mid_block_add_attention: z.boolean().default(true),
});

/** Block types, the full image first, and whether each attends. */
const ATTENDS: Readonly<Record<string, boolean>> = {
  DownEncoderBlock2D: false,
  AttnDownEncoderBlock2D: true,
  UpDecoderBlock2D: false,
  AttnUpDecoderBlock2D: true,
};

async function readConfig(path: string): Promise<z.output<typeof configSchema>> {
  const problem = (what: string, cause: unknown): DataError =>
    new DataError(what, {
      code: 'E_NOT_JSON',
      where: path,
      fix: 'fetch the file again, beside its weights',
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw problem('the file cannot be read as JSON', cause);
  }
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw problem(
    `not the configuration of a VQModel: ${issue?.path.join('.')}: ${issue?.message}`,
    parsed.error,
  );
}

/**
 * @param imageSize instead of the configuration's
 * @throws DataError when mm does not have such a model; UsageError when the size of the images is nowhere
 */
export async function diffusersSettings(
  path: string,
  imageSize: number | undefined,
): Promise<z.input<typeof vqganModelSchema>> {
  const config = await readConfig(path);
  const levels = config.block_out_channels.length;
  const refuse = (what: string): never => {
    throw unsupported(`a VQModel with ${what}`, path, 'mm has the kind that latent-diffusion trained');
  };
  if (config.in_channels !== 3 || config.out_channels !== 3)
    refuse(`images of ${config.in_channels} channels; mm has those of red, green and blue`);
  if (!['silu', 'swish'].includes(config.act_fn)) refuse(`the activation ${config.act_fn}`);
  if (config.norm_type !== 'group') refuse(`norm_type ${config.norm_type}, as the MoVQ of Kandinsky has`);
  const attends = (types: readonly string[]): readonly number[] => {
    const unknown = types.find((type) => !Object.hasOwn(ATTENDS, type));
    if (unknown !== undefined) refuse(`blocks of the type ${unknown}`);
    if (types.length !== levels) refuse(`${types.length} blocks for ${levels} numbers of channels`);
    return types.flatMap((type, i) => (ATTENDS[type] ? [i + 1] : []));
  };
  const [down, up] = [attends(config.down_block_types), attends(config.up_block_types.toReversed())];
  if (down.join() !== up.join()) refuse('attention at other levels of the decoder than of the encoder');
  if (imageSize === undefined && config.sample_size === DEFAULT_SAMPLE_SIZE)
    throw new UsageError(
      `config.json does not say the size of the images: its sample_size is ${DEFAULT_SAMPLE_SIZE}, the default`,
      {
        code: 'E_IMAGE_SIZE_MISSING',
        option: 'imageSize',
        where: path,
        fix: 'give `imageSize`: 256 for most published ones',
      },
    );
  return {
    architecture: 'vqgan',
    imageSize: imageSize ?? config.sample_size,
    hiddenChannels: config.block_out_channels[0] as number,
    levelChannels: config.block_out_channels,
    resnetBlocks: config.layers_per_block,
    attentionLevels: [...down],
    middleAttention: config.mid_block_add_attention,
    normGroups: config.norm_num_groups,
    latentChannels: config.latent_channels,
    codebookDim: config.vq_embed_dim ?? config.latent_channels,
    vocabulary: config.num_vq_embeddings,
    quantizer: 'nearest',
  };
}
