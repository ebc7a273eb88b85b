// CLIP (arXiv 2103.00020, section 2.4): an image tower and a text tower that put images and texts into one space.
//   B batch, T text positions, G patches on a side, P pixels on a side of a patch, N image positions, D width,
//   E embedding, V vocabulary
//
// The published towers read a ViT at its class token and a text at its end token. DALLE-pytorch's CLIP has neither
// token: its towers attend everywhere, padding masked, and are read as the mean of their positions.

import type { ClipImageConfig, ClipModelConfig, ClipTextConfig } from '../../config/clip.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { wholePattern } from '../../nn/attention-pattern.ts';
import type { BatchStatistics } from '../../nn/batch-norm.ts';
import { encoderBlockSpec, lucidBlockSpec, quickGelu } from '../../nn/encoder.ts';
import { gelu } from '../../nn/functional/gelu.ts';
import { type LayerNormSpec, layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear, linearSpec } from '../../nn/linear.ts';
import { constant, normal, type ParameterSpec, type Parameters, uniform } from '../../nn/parameters.ts';
import { type BlockParameters, type BlockSpec, block, type StackOptions } from '../../nn/transformer.ts';
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
type TextSpec = {
  readonly embedding: ParameterSpec;
  readonly position: ParameterSpec;
  readonly blocks: BlocksSpec;
  readonly norm: LayerNormSpec;
  readonly projection: ParameterSpec;
};
type LucidImageSpec = {
  readonly patch: ReturnType<typeof linearSpec>;
  readonly position: ParameterSpec;
  readonly lucid_blocks: BlocksSpec;
  readonly projection: ParameterSpec;
};
type LucidTextSpec = {
  readonly embedding: ParameterSpec;
  readonly position: ParameterSpec;
  readonly lucid_blocks: BlocksSpec;
  readonly projection: ParameterSpec;
};

export type ClipSpec = {
  readonly image: ResnetSpec | VitSpec | LucidImageSpec;
  readonly text: TextSpec | LucidTextSpec;
  /** ln of the factor on the cosines. */
  readonly logit_scale: ParameterSpec;
};
export type ClipParameters = Parameters<ClipSpec>;

const EMBEDDING_STDDEV = 0.02;
const POSITION_STDDEV = 0.01;
/** ln(1 / 0.07), section 2.5. */
const LOGIT_SCALE = Math.log(1 / 0.07);
/** Added to the scores of keys that are not attended to; its exponential is 0. */
const MASKED = -1e9;

const blocks = <S>(count: number, spec: (index: number) => S): { readonly [block: `block_${number}`]: S } =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`block_${i + 1}`, spec(i + 1)]));

/** Patches of an image. */
export const patchCount = ({ size, patch }: ClipImageConfig): number => (size / patch) ** 2;

function vitSpec(image: ClipImageConfig, embedding: number): VitSpec {
  const { width, layers, patch } = image;
  const inputs = 3 * patch ** 2;
  return {
    patch: uniform([inputs, width], inputs ** -0.5),
    class: normal([width], width ** -0.5),
    position: normal([patchCount(image) + 1, width], width ** -0.5),
    input_norm: image.inputNorm ? layerNormSpec(width) : undefined,
    blocks: blocks(layers, () => encoderBlockSpec(width, layers, image)),
    norm: layerNormSpec(width),
    projection: normal([width, embedding], width ** -0.5),
  };
}

function textSpec(text: ClipTextConfig, embedding: number): TextSpec {
  const { vocabulary, length, width, layers } = text;
  return {
    embedding: normal([vocabulary, width], EMBEDDING_STDDEV),
    position: normal([length, width], POSITION_STDDEV),
    blocks: blocks(layers, () => encoderBlockSpec(width, layers, text)),
    norm: layerNormSpec(width),
    projection: normal([width, embedding], width ** -0.5),
  };
}

function lucidSpec({ image, text, embedding }: ClipModelConfig): {
  image: LucidImageSpec;
  text: LucidTextSpec;
} {
  const inputs = 3 * image.patch ** 2;
  const tower = ({ width, heads, layers }: ClipImageConfig | ClipTextConfig) => ({
    lucid_blocks: blocks(layers, (index) => lucidBlockSpec(width, heads, index)),
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
 * The parameters of both towers. Weight decay leaves gains, biases and the logit scale alone, and nothing else
 * (section 2.5). The image tower starts as the text tower does, which the release specifies.
 */
export function clipSpec(config: ClipModelConfig): ClipSpec {
  const { image, text, embedding } = config;
  if (config.architecture === 'dalle-pytorch') return { ...lucidSpec(config), logit_scale: constant([], 1) };
  return {
    image: image.tower === 'resnet' ? resnetSpec(image, embedding) : vitSpec(image, embedding),
    text: textSpec(text, embedding),
    logit_scale: constant([], LOGIT_SCALE),
  };
}

/** Pixels, 0 to 255 → what the image tower reads: scaled to [0, 1], then by the channels' mean and deviation. */
export function normalizePixels(pixels: Tensor, { mean, stddev: deviation }: ClipImageConfig): Tensor4D {
  const scale = deviation.map((d) => 1 / (255 * d));
  const shift = mean.map((m, c) => -m / (deviation[c] as number));
  return tf.add(tf.mul(pixels, tf.tensor1d(scale)), tf.tensor1d(shift));
}

/** x_BHW3 → the patches' pixels, rows first, [B, G², P · P · 3]. */
function patches(x: Tensor4D, { size, patch }: ClipImageConfig): Tensor3D {
  const [batch] = x.shape;
  const grid = size / patch;
  const rows = tf.reshape(x, [batch * grid, patch, grid, patch * 3]);
  return tf.reshape(tf.transpose(rows, [0, 2, 1, 3]), [batch, grid ** 2, patch ** 2 * 3]);
}

/** x_BND through the blocks of a tower. @param mask added to the scores, broadcast to [B, H, N, N] */
function encode(
  blocks: Parameters<BlocksSpec>,
  x_BND: Tensor3D,
  options: StackOptions,
  mask?: Tensor,
): Tensor3D {
  const pattern = wholePattern(x_BND.shape[1], mask);
  const run = (h: Tensor3D, p: BlockParameters): Tensor3D => block(p, h, { ...options, pattern }).x_BND;
  return Object.values(blocks).reduce(run, x_BND);
}

function vit(p: Parameters<VitSpec>, x: Tensor4D, config: ClipModelConfig): Tensor2D {
  const { image } = config;
  const { heads, normEpsilon } = image;
  const [batch] = x.shape;
  const patches_BND = linear({ weight: p.patch }, patches(x, image)) as Tensor3D;
  const class_B1D = tf.add(tf.zeros([batch, 1, 1]), p.class) as Tensor3D;
  const input_BND = tf.add(tf.concat([class_B1D, patches_BND], 1), p.position);
  const normalized_BND = p.input_norm ? layerNorm(p.input_norm, input_BND, normEpsilon) : input_BND;
  const options = { heads, normEpsilon, activation: activation(config) };
  const x_BND = encode(p.blocks, normalized_BND as Tensor3D, options);
  const norm = (h: Tensor): Tensor => layerNorm(p.norm, h, normEpsilon);
  const feature_BD = image.normBeforePool
    ? poolPatches(norm(x_BND) as Tensor3D, image)
    : norm(poolPatches(x_BND, image));
  return linear({ weight: p.projection }, feature_BD) as Tensor2D;
}

/** The class token, or the mean of the patches, of x_BND: [B, D]. */
function poolPatches(x_BND: Tensor3D, { pool, width }: ClipImageConfig): Tensor2D {
  const [batch, positions] = x_BND.shape;
  if (pool === 'mean') return tf.mean(tf.slice(x_BND, [0, 1, 0], [batch, positions - 1, width]), 1);
  return tf.reshape(tf.slice(x_BND, [0, 0, 0], [batch, 1, width]), [batch, width]);
}

const activation = ({ activation }: ClipModelConfig): ((x: Tensor) => Tensor) =>
  activation === 'gelu' ? gelu : quickGelu;

function lucidImage(p: Parameters<LucidImageSpec>, x: Tensor4D, { image }: ClipModelConfig): Tensor2D {
  const input_BND = tf.add(linear(p.patch, patches(x, image)), p.position) as Tensor3D;
  const x_BND = encode(p.lucid_blocks, input_BND, { heads: image.heads, gated: true });
  return linear({ weight: p.projection }, tf.mean(x_BND, 1)) as Tensor2D;
}

/** 0 for positions up to the query's own and −1e9 for later ones, [T, T]. */
const causalMask = (length: number): Tensor =>
  tf.tensor2d(
    Float32Array.from({ length: length ** 2 }, (_, i) => (i % length <= Math.floor(i / length) ? 0 : MASKED)),
    [length, length],
  );

function publishedText(
  p: Parameters<TextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  config: ClipModelConfig,
): Tensor2D {
  const { heads, length, width, normEpsilon, causal, pool } = config.text;
  const input_BTD = tf.add(gather(p.embedding, text_BT), p.position) as Tensor3D;
  const options = { heads, normEpsilon, activation: activation(config) };
  const x_BTD = encode(p.blocks, input_BTD, options, causal ? causalMask(length) : undefined);
  let feature_BD: Tensor;
  if (pool === 'last') {
    const [batch] = x_BTD.shape;
    feature_BD = tf.reshape(tf.slice(x_BTD, [0, length - 1, 0], [batch, 1, width]), [batch, width]);
  } else {
    const end_B = tf.cast(tf.sub(tf.sum(mask_BT, 1), 1), 'int32');
    feature_BD = tf.sum(tf.mul(x_BTD, tf.expandDims(tf.oneHot(end_B, length), 2)), 1);
  }
  return linear({ weight: p.projection }, layerNorm(p.norm, feature_BD, normEpsilon)) as Tensor2D;
}

function lucidText(
  p: Parameters<LucidTextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  { text }: ClipModelConfig,
): Tensor2D {
  const [batch, length] = mask_BT.shape;
  const mask_B11T = tf.reshape(tf.mul(tf.sub(1, mask_BT), MASKED), [batch, 1, 1, length]);
  const input_BTD = tf.add(gather(p.embedding, text_BT), p.position) as Tensor3D;
  const x_BTD = encode(p.lucid_blocks, input_BTD, { heads: text.heads, gated: true }, mask_B11T);
  const sum_BD = tf.sum(tf.mul(x_BTD, tf.expandDims(mask_BT, 2)), 1);
  return linear({ weight: p.projection }, tf.div(sum_BD, tf.sum(mask_BT, 1, true))) as Tensor2D;
}

/** x / ‖x‖ along the last axis. */
const unitLength = (x: Tensor2D): Tensor2D => tf.div(x, tf.norm(x, 'euclidean', -1, true));

/**
 * Features of images, of length 1.
 * @param x_BHW3 see `normalizePixels`
 * @param statistics when training
 * @returns [B, E]
 */
export function encodeImage(
  p: ClipParameters['image'],
  x_BHW3: Tensor4D,
  config: ClipModelConfig,
  statistics?: BatchStatistics,
): Tensor2D {
  if ('stem' in p) return unitLength(resnet(p, x_BHW3, config.image.heads, statistics));
  return unitLength('class' in p ? vit(p, x_BHW3, config) : lucidImage(p, x_BHW3, config));
}

/**
 * Features of texts, of length 1.
 * @param text_BT int32
 * @param mask_BT 1 for the text's tokens and 0 for padding after them; the published tower is read at the last token
 * @returns [B, E]
 */
export function encodeText(
  p: ClipParameters['text'],
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  config: ClipModelConfig,
): Tensor2D {
  return unitLength(
    'norm' in p ? publishedText(p, text_BT, mask_BT, config) : lucidText(p, text_BT, mask_BT, config),
  );
}
