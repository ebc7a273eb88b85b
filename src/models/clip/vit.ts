// The image towers that read patches: the published ViT with its class token (openai), and SigLIP's (arXiv 2303.15343),
// which has none: a learned query attends to the patches, through the MAP head of big_vision (arXiv 2106.04560,
// appendix D).
//   B batch, H height, W width, G patches on a side, k pixels on a side of a patch, N positions, D width,
//   C channels, E embedding

import type { ClipImageConfig, ClipModelConfig } from '../../config/clip.ts';
import type { Recompute } from '../../config/fields.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Position } from '../../nn/attention.ts';
import { type LayerNormSpec, layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { type LinearSpec, linear, linearSpec } from '../../nn/linear.ts';
import {
  constant,
  normal,
  type ParameterSpec,
  type Parameters,
  stackSpecs,
  uniform,
} from '../../nn/parameters.ts';
import { attentionPool, type PoolProjections } from './attention-pool.ts';
import {
  activationOf,
  type BlocksSpec,
  hiddenWidth,
  openaiBlockSpec,
  runBlocks,
  runBlocksAt,
} from './blocks.ts';
import { patchesOnASide } from './config.ts';
import { type ProjectionSpec, project, projectionSpec } from './projection.ts';

type MapSpec = PoolProjections & {
  readonly probe: ParameterSpec;
  readonly norm: LayerNormSpec;
  readonly feed_forward: { readonly expand: LinearSpec; readonly contract: LinearSpec };
};

export type VitSpec = {
  readonly patch: ParameterSpec;
  readonly patch_bias: ParameterSpec | undefined;
  readonly class: ParameterSpec | undefined;
  readonly position: ParameterSpec;
  readonly input_norm: LayerNormSpec | undefined;
  readonly blocks: BlocksSpec;
  readonly norm: LayerNormSpec;
  readonly map: MapSpec | undefined;
} & ProjectionSpec;

/** Initialized as the attention pooling of openai/CLIP. */
function mapSpec(image: ClipImageConfig): MapSpec {
  const { width } = image;
  const stddev = width ** -0.5;
  const hidden = hiddenWidth(image);
  const projection = linearSpec(width, width, stddev);
  return {
    probe: normal([width], stddev),
    ...{ query: projection, key: projection, value: projection, output: projection },
    norm: layerNormSpec(width),
    feed_forward: {
      expand: linearSpec(width, hidden, stddev),
      contract: linearSpec(hidden, width, hidden ** -0.5),
    },
  };
}

export function vitSpec(image: ClipImageConfig, embedding: number): VitSpec {
  const { width, layers, patch, pool } = image;
  const inputs = 3 * patch ** 2;
  const hasClass = pool !== 'map';
  return {
    patch: uniform([inputs, width], inputs ** -0.5),
    patch_bias: image.patchBias ? constant([width], 0) : undefined,
    class: hasClass ? normal([width], width ** -0.5) : undefined,
    position: normal([patchesOnASide(image) ** 2 + (hasClass ? 1 : 0), width], width ** -0.5),
    input_norm: image.inputNorm ? layerNormSpec(width) : undefined,
    blocks: stackSpecs('block', layers, () => openaiBlockSpec(image)),
    norm: layerNormSpec(width),
    map: hasClass ? undefined : mapSpec(image),
    ...projectionSpec(image, embedding),
  };
}

/**
 * x_BHW3 → the pixels of the patches in raster order, [B, G², k · k · 3]. Pixels beside whole patches, at the right and
 * at the bottom, are left out.
 */
export function patches(x_BHW3: Tensor4D, image: ClipImageConfig): Tensor3D {
  const { size, patch } = image;
  const [batch] = x_BHW3.shape;
  const grid = patchesOnASide(image);
  const side = grid * patch;
  const whole = side === size ? x_BHW3 : tf.slice(x_BHW3, [0, 0, 0, 0], [batch, side, side, 3]);
  const rows = tf.reshape(whole, [batch * grid, patch, grid, patch * 3]);
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [batch, grid ** 2, patch ** 2 * 3]);
}

/** Features of images, not yet of length 1. @returns [B, E] */
export function vit(
  p: Parameters<VitSpec>,
  x_BHW3: Tensor4D,
  config: ClipModelConfig,
  recompute?: Recompute,
): Tensor2D {
  const { image } = config;
  const { heads, normEpsilon } = image;
  const [batch] = x_BHW3.shape;
  const patches_BND = linear({ weight: p.patch, bias: p.patch_bias }, patches(x_BHW3, image)) as Tensor3D;
  const positions_BND = p.class ? tf.concat([repeated(p.class, batch), patches_BND], 1) : patches_BND;
  const input_BND = tf.add(positions_BND, p.position);
  const normalized_BND = p.input_norm ? layerNorm(p.input_norm, input_BND, normEpsilon) : input_BND;
  const options = { heads, normEpsilon, activation: activationOf(config, image), recompute };
  const norm = (h: Tensor): Tensor => layerNorm(p.norm, h, normEpsilon);
  if (image.pool === 'class')
    return project(p, norm(runBlocksAt(classToken, p.blocks, normalized_BND as Tensor3D, options)));
  const x_BND = runBlocks(p.blocks, normalized_BND as Tensor3D, options);
  if (p.map) return project(p, mapPool(p.map, norm(x_BND), config));
  return project(p, image.normBeforePool ? meanOfPatches(norm(x_BND)) : norm(meanOfPatches(x_BND)));
}

/** x_D for each image: [B, 1, D]. */
const repeated = (x_D: Tensor, batch: number): Tensor3D => tf.add(tf.zeros([batch, 1, 1]), x_D) as Tensor3D;

/** The position of the class token. */
const classToken: Position = (x_BNC) => tf.slice(x_BNC, [0, 0, 0], [-1, 1, -1]);

/** The mean of x_BND without the class token: [B, D]. */
const meanOfPatches = (x_BND: Tensor): Tensor2D => tf.mean(tf.slice(x_BND, [0, 1, 0], [-1, -1, -1]), 1);

/** Multihead attention pooling of x_BND by the learned probe, and a feed-forward layer beside it: [B, D]. */
function mapPool(p: Parameters<MapSpec>, x_BND: Tensor, config: ClipModelConfig): Tensor2D {
  const { heads, normEpsilon } = config.image;
  const attended_BD = attentionPool(p, repeated(p.probe, x_BND.shape[0] as number), x_BND, heads);
  const { expand, contract } = p.feed_forward;
  const hidden = linear(expand, layerNorm(p.norm, attended_BD, normEpsilon));
  return tf.add(attended_BD, linear(contract, activationOf(config, config.image)(hidden)));
}
