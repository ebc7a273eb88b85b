// CLIP (arXiv 2103.00020, section 2.4): an image tower and a text tower that embed images and texts into one space.
//   B batch, H height, W width, T text positions, N positions of a tower, D width of a tower, C channels, E embedding,
//   V vocabulary
//
// The published towers (openai) read the features of an image at the class token of a ViT and those of a text at its
// end token. DALLE-pytorch's CLIP has neither token: its towers attend everywhere except to padding, and their features
// are the mean of their positions.

import type { ClipImageConfig, ClipModelConfig, ClipTextConfig } from '../../config/clip.ts';
import type { Recompute } from '../../config/fields.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Position } from '../../nn/attention.ts';
import { causalMask, MASKED } from '../../nn/attention-mask.ts';
import type { BatchStatistics } from '../../nn/batch-norm.ts';
import { type LayerNormSpec, layerNorm, layerNormSpec } from '../../nn/layer-norm.ts';
import { linear, linearSpec } from '../../nn/linear.ts';
import { constant, normal, type ParameterSpec, type Parameters, stackSpecs } from '../../nn/parameters.ts';
import {
  activationOf,
  type BlocksSpec,
  dallePytorchBlockSpec,
  openaiBlockSpec,
  runBlocks,
  runBlocksAt,
} from './blocks.ts';
import { patchesOnASide } from './config.ts';
import { type ProjectionSpec, project, projectionSpec } from './projection.ts';
import { type ResnetSpec, resnet, resnetSpec } from './resnet.ts';
import { patches, type VitSpec, vit, vitSpec } from './vit.ts';

type OpenaiTextSpec = {
  readonly embedding: ParameterSpec;
  readonly position: ParameterSpec;
  readonly blocks: BlocksSpec;
  readonly norm: LayerNormSpec;
} & ProjectionSpec;
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
  /** Added to the logits, a scalar; of the sigmoid loss. */
  readonly logit_bias: ParameterSpec | undefined;
};
export type ClipParameters = Parameters<ClipSpec>;

const EMBEDDING_STDDEV = 0.02;
const POSITION_STDDEV = 0.01;
/** Initial ln of the factor on the cosines: ln(1 / 0.07), section 2.5. */
const LOGIT_SCALE = Math.log(1 / 0.07);
const DALLE_PYTORCH_SCALE = 1;
/** Those of the sigmoid loss, which starts near the share of the true pairs (arXiv 2303.15343, section 3.2). */
const SIGMOID_SCALE = Math.log(10);
const SIGMOID_BIAS = -10;

function openaiTextSpec(text: ClipTextConfig, embedding: number): OpenaiTextSpec {
  const { vocabulary, length, width, layers } = text;
  return {
    embedding: normal([vocabulary, width], EMBEDDING_STDDEV),
    position: normal([length, width], POSITION_STDDEV),
    blocks: stackSpecs('block', layers, () => openaiBlockSpec(text)),
    norm: layerNormSpec(width),
    ...projectionSpec(text, embedding),
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
      position: normal([patchesOnASide(image) ** 2, image.width], POSITION_STDDEV),
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
  const logits = logitSpec(config);
  if (config.architecture === 'dalle-pytorch') return { ...dallePytorchSpec(config), ...logits };
  return {
    image: image.tower === 'resnet' ? resnetSpec(image, embedding) : vitSpec(image, embedding),
    text: openaiTextSpec(text, embedding),
    ...logits,
  };
}

function logitSpec({ loss, architecture }: ClipModelConfig): Pick<ClipSpec, 'logit_scale' | 'logit_bias'> {
  if (loss === 'sigmoid')
    return { logit_scale: constant([], SIGMOID_SCALE), logit_bias: constant([], SIGMOID_BIAS) };
  const scale = architecture === 'dalle-pytorch' ? DALLE_PYTORCH_SCALE : LOGIT_SCALE;
  return { logit_scale: constant([], scale), logit_bias: undefined };
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

function dallePytorchImage(
  p: Parameters<DallePytorchImageSpec>,
  x_BHW3: Tensor4D,
  { image }: ClipModelConfig,
  recompute: Recompute | undefined,
): Tensor2D {
  const input_BND = tf.add(linear(p.patch, patches(x_BHW3, image)), p.position) as Tensor3D;
  const x_BND = runBlocks(p.lucid_blocks, input_BND, { heads: image.heads, gated: true, recompute });
  return linear({ weight: p.projection }, tf.mean(x_BND, 1)) as Tensor2D;
}

function openaiText(
  p: Parameters<OpenaiTextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  config: ClipModelConfig,
  recompute: Recompute | undefined,
): Tensor2D {
  const { heads, normEpsilon, causal, pool } = config.text;
  const length = text_BT.shape[1];
  const positions_TD = length < config.text.length ? tf.slice(p.position, [0, 0], [length, -1]) : p.position;
  const input_BTD = tf.add(gather(p.embedding, text_BT), positions_TD) as Tensor3D;
  const activation = activationOf(config, config.text);
  const mask = causal ? causalMask(length) : undefined;
  const options = { heads, normEpsilon, activation, mask, recompute };
  const isLast = pool === 'last';
  const position = isLast ? lastPosition : endPosition(mask_BT);
  // The last position comes after all others, the end token before the padding.
  const positionMask = causal && !isLast ? paddingMask(mask_BT) : undefined;
  const feature_BD = runBlocksAt(position, p.blocks, input_BTD, options, positionMask);
  return project(p, layerNorm(p.norm, feature_BD, normEpsilon));
}

/** The last position, padding or not. */
const lastPosition: Position = (x_BTC) => tf.slice(x_BTC, [0, x_BTC.shape[1] - 1, 0], [-1, 1, -1]);

/** The position of a text's last token, which is its end token. */
function endPosition(mask_BT: Tensor2D): Position {
  const end_B = tf.cast(tf.sub(tf.sum(mask_BT, 1), 1), 'int32');
  const isEnd_BT1 = tf.expandDims(tf.oneHot(end_B, mask_BT.shape[1]), 2);
  return (x_BTC) => tf.sum(tf.mul(x_BTC, isEnd_BT1), 1, true);
}

/** Takes padding off scores: [B, 1, 1, T]. */
function paddingMask(mask_BT: Tensor2D): Tensor {
  const [batch, length] = mask_BT.shape;
  return tf.reshape(tf.mul(tf.sub(1, mask_BT), MASKED), [batch, 1, 1, length]);
}

function dallePytorchText(
  p: Parameters<DallePytorchTextSpec>,
  text_BT: Tensor2D,
  mask_BT: Tensor2D,
  { text }: ClipModelConfig,
  recompute: Recompute | undefined,
): Tensor2D {
  const input_BTD = tf.add(gather(p.embedding, text_BT), p.position) as Tensor3D;
  const options = { heads: text.heads, gated: true, mask: paddingMask(mask_BT), recompute };
  const x_BTD = runBlocks(p.lucid_blocks, input_BTD, options);
  const sum_BD = tf.sum(tf.mul(x_BTD, tf.expandDims(mask_BT, 2)), 1);
  return linear({ weight: p.projection }, tf.div(sum_BD, tf.sum(mask_BT, 1, true))) as Tensor2D;
}

/** x / ‖x‖ along the last axis. */
const unitLength = (x: Tensor2D): Tensor2D => tf.div(x, tf.norm(x, 'euclidean', -1, true));

/** What training asks of the towers. */
export interface ClipTraining {
  /** Collects the batch statistics of a ResNet. */
  readonly statistics: BatchStatistics;
  /** What Transformer layers save for the gradient; a ResNet saves its activations. */
  readonly recompute: Recompute;
}

/**
 * Features of images, of length 1.
 * @param x_BHW3 output of `normalizePixels`
 * @returns [B, E]
 */
export function encodeImage(
  p: ClipParameters['image'],
  x_BHW3: Tensor4D,
  config: ClipModelConfig,
  training?: ClipTraining,
): Tensor2D {
  if ('stem' in p) return unitLength(resnet(p, x_BHW3, config.image.heads, training?.statistics));
  const { recompute } = training ?? {};
  return unitLength(
    'blocks' in p ? vit(p, x_BHW3, config, recompute) : dallePytorchImage(p, x_BHW3, config, recompute),
  );
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
  training?: ClipTraining,
): Tensor2D {
  const { recompute } = training ?? {};
  return unitLength(
    'norm' in p
      ? openaiText(p, text_BT, mask_BT, config, recompute)
      : dallePytorchText(p, text_BT, mask_BT, config, recompute),
  );
}
