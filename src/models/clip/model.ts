// CLIP (arXiv 2103.00020, section 2.4): an image tower and a text tower that embed images and texts into one space.
//   B batch, H height, W width, T text positions, G patches on a side, k pixels on a side of a patch, N positions of a
//   tower, D width of a tower, A heads, E embedding, V vocabulary
//
// The published towers (openai) read the features of an image at the class token of a ViT and those of a text at its
// end token. DALLE-pytorch's CLIP has neither token: its towers attend everywhere except to padding, and their features
// are the mean of their positions.

import type { ClipImageConfig, ClipModelConfig, ClipTextConfig } from '../../config/clip.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { causalMask, MASKED } from '../../nn/attention-mask.ts';
import { wholePattern } from '../../nn/attention-pattern.ts';
import type { BatchStatistics } from '../../nn/batch-norm.ts';
import type { BlockParameters, BlockSpec } from '../../nn/block-spec.ts';
import { gelu } from '../../nn/functional/gelu.ts';
import { type LayerNormSpec, layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear, linearSpec } from '../../nn/linear.ts';
import {
  constant,
  normal,
  type ParameterSpec,
  type Parameters,
  stackSpecs,
  uniform,
} from '../../nn/parameters.ts';
import { block, type StackOptions } from '../../nn/transformer.ts';
import { dallePytorchBlockSpec, openaiBlockSpec, quickGelu } from './blocks.ts';
import { patchCount } from './config.ts';
import { type ResnetSpec, resnet, resnetSpec } from './resnet.ts';

type BlocksSpec = { readonly [block: `block_${number}`]: BlockSpec };

type VitSpec = {
  readonly patch: ParameterSpec;
  readonly class: ParameterSpec;
  readonly position: ParameterSpec;
  readonly input_norm: LayerNormSpec | undefined;
  readonly blocks: BlocksSpec;
  readonly norm: LayerNormSpec;
  readonly projection: ParameterSpec;
};
type OpenaiTextSpec = {
  readonly embedding: ParameterSpec;
  readonly position: ParameterSpec;
  readonly blocks: BlocksSpec;
  readonly norm: LayerNormSpec;
  readonly projection: ParameterSpec;
};
type DallePytorchImageSpec = {
  readonly patch: ReturnType<typeof linearSpec>;
  readonly position: ParameterSpec;
  readonly lucid_blocks: BlocksSpec;
  readonly projection: ParameterSpec;
};
/** `lucid_blocks` is the name in saved files; DALLE-pytorch is lucidrains'. */
type DallePytorchTextSpec = {
  readonly embedding: ParameterSpec;
  readonly position: ParameterSpec;
  readonly lucid_blocks: BlocksSpec;
  readonly projection: ParameterSpec;
};

export type ClipSpec = {
  readonly image: ResnetSpec | VitSpec | DallePytorchImageSpec;
  readonly text: OpenaiTextSpec | DallePytorchTextSpec;
  /** ln of the factor on the cosines, a scalar. */
  readonly logit_scale: ParameterSpec;
};
export type ClipParameters = Parameters<ClipSpec>;

const EMBEDDING_STDDEV = 0.02;
const POSITION_STDDEV = 0.01;
/** Initial ln of the factor on the cosines: ln(1 / 0.07), section 2.5. */
const LOGIT_SCALE = Math.log(1 / 0.07);
function vitSpec(image: ClipImageConfig, embedding: number): VitSpec {
  const { width, layers, patch } = image;
  const inputs = 3 * patch ** 2;
  return {
    patch: uniform([inputs, width], inputs ** -0.5),
    class: normal([width], width ** -0.5),
    position: normal([patchCount(image) + 1, width], width ** -0.5),
    input_norm: image.inputNorm ? layerNormSpec(width) : undefined,
    blocks: stackSpecs('block', layers, () => openaiBlockSpec(image)),
    norm: layerNormSpec(width),
    projection: normal([width, embedding], width ** -0.5),
  };
}

function openaiTextSpec(text: ClipTextConfig, embedding: number): OpenaiTextSpec {
  const { vocabulary, length, width, layers } = text;
  return {
    embedding: normal([vocabulary, width], EMBEDDING_STDDEV),
    position: normal([length, width], POSITION_STDDEV),
    blocks: stackSpecs('block', layers, () => openaiBlockSpec(text)),
    norm: layerNormSpec(width),
    projection: normal([width, embedding], width ** -0.5),
  };
}

function dallePytorchSpec({ image, text, embedding }: ClipModelConfig): {
  image: DallePytorchImageSpec;
  text: DallePytorchTextSpec;
} {
  const inputs = 3 * image.patch ** 2;
  const tower = ({ width, heads, layers }: ClipImageConfig | ClipTextConfig) => ({
    lucid_blocks: stackSpecs('block', layers, (i) => dallePytorchBlockSpec(width, heads, i + 1)),
    projection: normal([width, embedding], width ** -0.5),
  });
  return {
    image: {
      patch: linearSpec(inputs, image.width, inputs ** -0.5),
      position: normal([patchCount(image), image.width], POSITION_STDDEV),
      ...tower(image),
    },
    text: {
      embedding: normal([text.vocabulary, text.width], EMBEDDING_STDDEV),
      position: normal([text.length, text.width], POSITION_STDDEV),
      ...tower(text),
    },
  };
}

/**
 * The parameters of both towers. Weight decay applies to all but gains, biases and the logit scale (section 2.5). The image
 * tower is initialized as the text tower, whose initialization the release specifies.
 */
export function clipSpec(config: ClipModelConfig): ClipSpec {
  const { image, text, embedding } = config;
  if (config.architecture === 'dalle-pytorch')
    return { ...dallePytorchSpec(config), logit_scale: constant([], 1) };
  return {
    image: image.tower === 'resnet' ? resnetSpec(image, embedding) : vitSpec(image, embedding),
    text: openaiTextSpec(text, embedding),
    logit_scale: constant([], LOGIT_SCALE),
  };
}

/**
 * The image tower's input: pixels scaled to [0, 1], then normalized by the channels' mean and standard deviation.
 * @param pixels 0 … 255, [B, H, W, 3]
 */
export function normalizePixels(pixels: Tensor, { mean, stddev }: ClipImageConfig): Tensor4D {
  const scale = stddev.map((d) => 1 / (255 * d));
  const shift = mean.map((m, c) => -m / (stddev[c] as number));
  return tf.add(tf.mul(pixels, tf.tensor1d(scale)), tf.tensor1d(shift));
}

/** x_BHW3 → the pixels of the patches in raster order, [B, G², k · k · 3]. */
function patches(x_BHW3: Tensor4D, { size, patch }: ClipImageConfig): Tensor3D {
  const [batch] = x_BHW3.shape;
  const grid = size / patch;
  const rows = tf.reshape(x_BHW3, [batch * grid, patch, grid, patch * 3]);
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [batch, grid ** 2, patch ** 2 * 3]);
}

/** x_BND through the blocks of a tower. @param mask added to the scores, broadcast to [B, A, N, N] */
function runBlocks(
  blocks: Parameters<BlocksSpec>,
  x_BND: Tensor3D,
  options: StackOptions,
  mask?: Tensor,
): Tensor3D {
  const pattern = wholePattern(x_BND.shape[1], mask);
  const run = (h: Tensor3D, p: BlockParameters): Tensor3D => block(p, h, { ...options, pattern }).x_BND;
  return Object.values(blocks).reduce(run, x_BND);
}

function vit(p: Parameters<VitSpec>, x_BHW3: Tensor4D, config: ClipModelConfig): Tensor2D {
  const { image } = config;
  const { heads, normEpsilon } = image;
  const [batch] = x_BHW3.shape;
  const patches_BND = linear({ weight: p.patch }, patches(x_BHW3, image)) as Tensor3D;
  const class_B1D = tf.add(tf.zeros([batch, 1, 1]), p.class) as Tensor3D;
  const input_BND = tf.add(tf.concat([class_B1D, patches_BND], 1), p.position);
  const normalized_BND = p.input_norm ? layerNorm(p.input_norm, input_BND, normEpsilon) : input_BND;
  const options = { heads, normEpsilon, activation: activation(config) };
  const x_BND = runBlocks(p.blocks, normalized_BND as Tensor3D, options);
  const norm = (h: Tensor): Tensor => layerNorm(p.norm, h, normEpsilon);
  const feature_BD = image.normBeforePool
    ? poolPatches(norm(x_BND) as Tensor3D, image)
    : norm(poolPatches(x_BND, image));
  return linear({ weight: p.projection }, feature_BD) as Tensor2D;
}

/** The class token of x_BND, or the mean of the patches: [B, D]. */
function poolPatches(x_BND: Tensor3D, { pool, width }: ClipImageConfig): Tensor2D {
  const [batch, positions] = x_BND.shape;
  if (pool === 'mean') return tf.mean(tf.slice(x_BND, [0, 1, 0], [batch, positions - 1, width]), 1);
  return tf.reshape(tf.slice(x_BND, [0, 0, 0], [batch, 1, width]), [batch, width]);
}

const activation = ({ activation }: ClipModelConfig): ((x: Tensor) => Tensor) =>
  activation === 'gelu' ? gelu : quickGelu;

function dallePytorchImage(
  p: Parameters<DallePytorchImageSpec>,
  x_BHW3: Tensor4D,
  { image }: ClipModelConfig,
): Tensor2D {
  const input_BND = tf.add(linear(p.patch, patches(x_BHW3, image)), p.position) as Tensor3D;
  const x_BND = runBlocks(p.lucid_blocks, input_BND, { heads: image.heads, gated: true });
  return linear({ weight: p.projection }, tf.mean(x_BND, 1)) as Tensor2D;
}

function openaiText(
  p: Parameters<OpenaiTextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  config: ClipModelConfig,
): Tensor2D {
  const { heads, length, normEpsilon, causal, pool } = config.text;
  const input_BTD = tf.add(gather(p.embedding, text_BT), p.position) as Tensor3D;
  const options = { heads, normEpsilon, activation: activation(config) };
  const x_BTD = runBlocks(p.blocks, input_BTD, options, causal ? causalMask(length) : undefined);
  const feature_BD = pool === 'last' ? lastPosition(x_BTD) : endPosition(x_BTD, mask_BT);
  return linear({ weight: p.projection }, layerNorm(p.norm, feature_BD, normEpsilon)) as Tensor2D;
}

/** x_BTD at the last position, padding or not: [B, D]. */
function lastPosition(x_BTD: Tensor3D): Tensor2D {
  const [batch, length, width] = x_BTD.shape;
  return tf.reshape(tf.slice(x_BTD, [0, length - 1, 0], [batch, 1, width]), [batch, width]);
}

/** x_BTD at the last token of the text, which is its end token: [B, D]. */
function endPosition(x_BTD: Tensor3D, mask_BT: Tensor2D): Tensor2D {
  const end_B = tf.cast(tf.sub(tf.sum(mask_BT, 1), 1), 'int32');
  return tf.sum(tf.mul(x_BTD, tf.expandDims(tf.oneHot(end_B, x_BTD.shape[1]), 2)), 1);
}

function dallePytorchText(
  p: Parameters<DallePytorchTextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  { text }: ClipModelConfig,
): Tensor2D {
  const [batch, length] = mask_BT.shape;
  const mask_B11T = tf.reshape(tf.mul(tf.sub(1, mask_BT), MASKED), [batch, 1, 1, length]);
  const input_BTD = tf.add(gather(p.embedding, text_BT), p.position) as Tensor3D;
  const x_BTD = runBlocks(p.lucid_blocks, input_BTD, { heads: text.heads, gated: true }, mask_B11T);
  const sum_BD = tf.sum(tf.mul(x_BTD, tf.expandDims(mask_BT, 2)), 1);
  return linear({ weight: p.projection }, tf.div(sum_BD, tf.sum(mask_BT, 1, true))) as Tensor2D;
}

/** x / ‖x‖ along the last axis. */
const unitLength = (x: Tensor2D): Tensor2D => tf.div(x, tf.norm(x, 'euclidean', -1, true));

/**
 * Features of images, of length 1.
 * @param x_BHW3 output of `normalizePixels`
 * @param statistics in training
 * @returns [B, E]
 */
export function encodeImage(
  p: ClipParameters['image'],
  x_BHW3: Tensor4D,
  config: ClipModelConfig,
  statistics?: BatchStatistics,
): Tensor2D {
  if ('stem' in p) return unitLength(resnet(p, x_BHW3, config.image.heads, statistics));
  return unitLength('class' in p ? vit(p, x_BHW3, config) : dallePytorchImage(p, x_BHW3, config));
}

/**
 * Features of texts, of length 1.
 * @param text_BT int32
 * @param mask_BT 1 for the text's tokens and 0 for the padding after them
 * @returns [B, E]
 */
export function encodeText(
  p: ClipParameters['text'],
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  config: ClipModelConfig,
): Tensor2D {
  return unitLength(
    'norm' in p ? openaiText(p, text_BT, mask_BT, config) : dallePytorchText(p, text_BT, mask_BT, config),
  );
}
