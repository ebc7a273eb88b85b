// The sizes of a VQGAN of taming-transformers or latent-diffusion: read off its weights, and compared with its YAML file
// where there is one. The weights say all of them but the size of the images.

import { basename } from 'node:path';
import type { z } from 'zod';
import { type VqganConfig, vqganModelSchema } from '../../config/vqgan.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { StateDict } from '../tensors.ts';
import type { ModelYaml } from './model-yaml.ts';
import { GUMBEL_CODEBOOK, NEAREST_CODEBOOK } from './names.ts';

/** Of taming's GroupNorm; a constant of its code. */
export const NORM_GROUPS = 32;
const COLOURS = 3;

export const unsupported = (what: string, where: string, fix: string): DataError =>
  new DataError(what, { code: 'E_WEIGHTS_UNSUPPORTED', where, fix });

/** Refuses autoencoders that are not VQGANs, by their names. */
export function assertHasCodes(tensors: StateDict, where: string): void {
  if (tensors.has(NEAREST_CODEBOOK) || tensors.has(GUMBEL_CODEBOOK)) return;
  throw unsupported(
    'an autoencoder without a codebook, such as AutoencoderKL of Stable Diffusion: its features are not codes',
    where,
    'give a VQModel or GumbelVQ, whose weights have quantize.embedding or quantize.embed',
  );
}

/** The sizes that the weights have, without that of the images. */
export function settingsOf(
  tensors: StateDict,
  where: string,
): Omit<z.input<typeof vqganModelSchema>, 'imageSize'> {
  const size = (name: string, axis: number): number => tensors.get(name)?.shape[axis] ?? 0;
  const count = (pattern: RegExp): number =>
    new Set([...tensors.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const levels = Array.from({ length: count(/^encoder\.down\.(\d+)\./) }, (_, i) => i);
  const colours = size('encoder.conv_in.weight', 1);
  if (colours !== COLOURS)
    throw unsupported(
      `a VQGAN of images with ${colours} channels`,
      where,
      'mm has images of red, green and blue; convert a VQGAN of those',
    );
  if (levels.length > 1 && !tensors.has('encoder.down.0.downsample.conv.weight'))
    throw unsupported(
      'a VQGAN that halves images without a convolution (resamp_with_conv: false)',
      where,
      'convert one that was trained with resamp_with_conv: true, as the published ones',
    );
  const isGumbel = tensors.has(GUMBEL_CODEBOOK);
  const codebook = isGumbel ? GUMBEL_CODEBOOK : NEAREST_CODEBOOK;
  return {
    architecture: 'vqgan',
    hiddenChannels: size('encoder.conv_in.weight', 0),
    levelChannels: levels.map((i) => size(`encoder.down.${i}.block.0.conv1.weight`, 0)),
    resnetBlocks: count(/^encoder\.down\.0\.block\.(\d+)\./),
    attentionLevels: levels.filter((i) => tensors.has(`encoder.down.${i}.attn.0.q.weight`)).map((i) => i + 1),
    middleAttention: tensors.has('encoder.mid.attn_1.q.weight'),
    normGroups: NORM_GROUPS,
    latentChannels: size('encoder.conv_out.weight', 0),
    codebookDim: size(codebook, 1),
    vocabulary: size(codebook, 0),
    quantizer: isGumbel ? 'gumbel' : 'nearest',
  };
}

/** The sizes that the weights of a decoder alone have. */
export function decoderSettings(tensors: StateDict) {
  const size = (name: string, axis: number): number => tensors.get(name)?.shape[axis] ?? 0;
  const count = (pattern: RegExp): number =>
    new Set([...tensors.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const levels = Array.from({ length: count(/^decoder\.up\.(\d+)\./) }, (_, i) => i);
  return {
    architecture: 'vqgan',
    hiddenChannels: size('decoder.conv_out.weight', 1),
    levelChannels: levels.map((i) => size(`decoder.up.${i}.block.0.conv1.weight`, 0)),
    resnetBlocks: count(/^decoder\.up\.0\.block\.(\d+)\./) - 1,
    attentionLevels: levels.filter((i) => tensors.has(`decoder.up.${i}.attn.0.q.weight`)).map((i) => i + 1),
    middleAttention: tensors.has('decoder.mid.attn_1.q.weight'),
    normGroups: NORM_GROUPS,
    latentChannels: size('decoder.conv_in.weight', 1),
    codebookDim: size(NEAREST_CODEBOOK, 1),
    vocabulary: size(NEAREST_CODEBOOK, 0),
  };
}

/** @throws DataError when mm does not have such a VQGAN, UsageError when its images cannot be of the size */
export function parseModel(settings: object, where: string): VqganConfig {
  const parsed = vqganModelSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.path[0] === 'imageSize')
    throw new UsageError(`\`imageSize\`: ${issue.message}`, {
      code: 'E_OPTION_VALUE',
      option: 'imageSize',
      where,
      fix: 'give a size that its levels halve, such as the one it was trained with',
    });
  throw unsupported(
    `its ${issue?.path.join('.')} cannot be used: ${issue?.message}`,
    where,
    'convert a model of other sizes',
  );
}

/**
 * Compares what a YAML file says with what the weights have.
 * @throws DataError that names every difference, or what mm does not have
 */
export function assertDescribes(yaml: ModelYaml, model: Omit<VqganConfig, 'imageSize'>): void {
  const { file, className, parameters } = yaml;
  const { ddconfig } = parameters;
  const refuse = (what: string): never => {
    throw unsupported(`${what}, which mm does not have`, file, 'convert a VQGAN without it');
  };
  if (ddconfig.tanh_out) refuse('a VQGAN with tanh_out, a tanh after the last convolution');
  if (ddconfig.use_linear_attn || ddconfig.attn_type === 'linear') refuse('a VQGAN with linear attention');
  const said: Record<string, readonly [theirs: unknown, ours: unknown]> = {
    target: [
      className === 'GumbelVQ' ? 'GumbelVQ' : 'VQModel',
      model.quantizer === 'gumbel' ? 'GumbelVQ' : 'VQModel',
    ],
    n_embed: [parameters.n_embed ?? model.vocabulary, model.vocabulary],
    embed_dim: [parameters.embed_dim, model.codebookDim],
    'ddconfig.z_channels': [ddconfig.z_channels * (ddconfig.double_z ? 2 : 1), model.latentChannels],
    'ddconfig.in_channels': [ddconfig.in_channels, COLOURS],
    'ddconfig.out_ch': [ddconfig.out_ch, COLOURS],
    'ddconfig.ch': [ddconfig.ch, model.hiddenChannels],
    'ddconfig.ch_mult': [
      ddconfig.ch_mult.map((factor) => factor * ddconfig.ch).join(' '),
      model.levelChannels.join(' '),
    ],
    'ddconfig.num_res_blocks': [ddconfig.num_res_blocks, model.resnetBlocks],
    'ddconfig.attn_resolutions': [
      levelsAt(ddconfig.attn_resolutions, ddconfig.resolution, ddconfig.ch_mult.length).join(' ') || 'none',
      model.attentionLevels.join(' ') || 'none',
    ],
    'ddconfig.attn_type': [ddconfig.attn_type !== 'none', model.middleAttention],
  };
  const differences = Object.entries(said).flatMap(([key, [theirs, ours]]) =>
    theirs === ours ? [] : [`${key} makes it ${theirs}, and the weights have ${ours}`],
  );
  if (differences.length === 0) return;
  throw new DataError(
    `${basename(file)} describes another model than the weights: ${differences.join('; ')}`,
    {
      code: 'E_WEIGHTS_MISMATCH',
      where: file,
      fix: 'give the file that belongs to the weights',
    },
  );
}

/** The levels, from 1 on, that work at one of the resolutions. */
const levelsAt = (resolutions: readonly number[], resolution: number, levels: number): number[] =>
  Array.from({ length: levels }, (_, i) => i + 1).filter((level) =>
    resolutions.includes(Math.floor(resolution / 2 ** (level - 1))),
  );
