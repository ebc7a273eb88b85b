// The pre-LayerNorm resblock: attention, then a feed-forward layer four times as wide. Both are branches of the
// residual stream, which reversible stacks put together in another way. Without cache and image, with any mask, it is
// the block of encoders too.
//   B batch, N positions, D width, H heads, d width of a head, S = D / 2 channels that token shift moves

import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import {
  type AttendedRows,
  attention,
  attentionSpec,
  attentionStep,
  type KeyValues,
  type LayerCacheView,
  splitHeads,
} from './attention.ts';
import type { StreamLayout } from './attention-mask.ts';
import type { AttentionPattern } from './attention-pattern.ts';
import { gelu } from './functional/gelu.ts';
import { enterScale, leaveScale } from './gradient-scale.ts';
import { type LayerNormParameters, type LayerNormSpec, layerNorm, layerNormSpec } from './layer-norm.ts';
import { type LinearParameters, linear, linearSpec } from './linear.ts';
import { constant, type ParameterSpec, type Parameters } from './parameters.ts';
import type { Rotation } from './rotary.ts';
import { shiftedChannels, shiftTokens } from './token-shift.ts';
import { withoutActivations } from './without-activations.ts';

const EXPANSION = 4;

export interface BlockShape {
  readonly width: number;
  /** heads × width of a head; the width where it is left out */
  readonly inner?: number;
  /** Hidden channels of the feed-forward layer; 4 × width by default. */
  readonly hidden?: number;
  /** Layers of the stack. */
  readonly layers: number;
  readonly stddev: number;
  /** Of the feed-forward layer's first product, where it is another. */
  readonly expandStddev?: number;
  /** The GELU gates other channels (arXiv 2002.05202), which takes twice as many. */
  readonly gated?: boolean;
  /** A second LayerNorm at the end of a branch (arXiv 2105.13290). */
  readonly sandwich?: boolean;
  /** Where given, a branch is multiplied by learned channel scales (arXiv 2103.17239) that start at this. */
  readonly layerScale?: number | undefined;
}

const feedForwardSpec = (
  { width, hidden = EXPANSION * width, gated = false, stddev, expandStddev = stddev }: BlockShape,
  residualStddev: number,
) => ({
  expand: linearSpec(width, (gated ? 2 : 1) * hidden, expandStddev),
  contract: linearSpec(hidden, width, residualStddev),
});

/** Parts that a configuration does not have are undefined. */
export type BlockSpec = {
  readonly attention_norm: LayerNormSpec;
  readonly attention: ReturnType<typeof attentionSpec>;
  readonly attention_end_norm: LayerNormSpec | undefined;
  readonly attention_scale: ParameterSpec | undefined;
  readonly feed_forward_norm: LayerNormSpec;
  readonly feed_forward: ReturnType<typeof feedForwardSpec>;
  readonly feed_forward_end_norm: LayerNormSpec | undefined;
  readonly feed_forward_scale: ParameterSpec | undefined;
};

/** Projections into the residual stream start smaller, by 1/√(2 · layers), so that its variance does not grow with depth. */
export function blockSpec(shape: BlockShape): BlockSpec {
  const { width, inner = width, layers, stddev, sandwich, layerScale } = shape;
  const residualStddev = stddev / Math.sqrt(2 * layers);
  const endNorm = sandwich ? layerNormSpec(width) : undefined;
  const scale = layerScale === undefined ? undefined : constant([width], layerScale);
  return {
    attention_norm: layerNormSpec(width),
    attention: attentionSpec(width, inner, stddev, residualStddev),
    attention_end_norm: endNorm,
    attention_scale: scale,
    feed_forward_norm: layerNormSpec(width),
    feed_forward: feedForwardSpec(shape, residualStddev),
    feed_forward_end_norm: endNorm,
    feed_forward_scale: scale,
  };
}

export type BlockParameters = Parameters<BlockSpec>;

/** What the blocks of a stack have in common. */
export interface StackOptions {
  readonly heads: number;
  /** The GELU gates other channels: see `BlockShape`. */
  readonly gated?: boolean;
  /** In place of GELU. */
  readonly activation?: (x: Tensor) => Tensor;
  /** Of the layer norms at the start of the branches; their default when undefined. */
  readonly normEpsilon?: number;
  /** See `attend`. */
  readonly sharpness?: number | undefined;
  /** Where tokens shift, the stream they are in. */
  readonly shift?: StreamLayout | undefined;
}

/** What happens to a layer's activations in training alone. */
export interface LayerTraining {
  /** Dropout of what leaves the attention, and of the feed-forward layer's hidden channels. */
  readonly dropAttention?: (x: Tensor) => Tensor;
  readonly dropHidden?: (x: Tensor) => Tensor;
  /** What the gradients within the branches are multiplied by, for float16: see gradient-scale.ts. */
  readonly gradientScale?: Tensor;
}

/** A branch over a whole stream. */
export interface StreamOptions extends StackOptions {
  readonly pattern: AttentionPattern;
  readonly rotation?: Rotation | undefined;
  readonly training?: LayerTraining | undefined;
}

/** The tensors of a layer's options that do not change from step to step. */
export function constantsOf({ pattern, rotation }: StreamOptions): Tensor[] {
  const { mask_QQ, image_RGW } = pattern;
  return [mask_QQ, image_RGW, ...Object.values(rotation ?? {})].flatMap((tensor) => tensor ?? []);
}

/** The same options with these tensors in place of `constantsOf`. */
export function withConstants(options: StreamOptions, constants: readonly Tensor[]): StreamOptions {
  const left = constants.values();
  const next = () => left.next().value as Tensor2D;
  const mask_QQ = options.pattern.mask_QQ && next();
  const image_RGW = options.pattern.image_RGW && next();
  const rotation = options.rotation && { cosine_Nd: next(), sine_Nd: next() };
  return { ...options, pattern: { ...options.pattern, mask_QQ, image_RGW }, rotation };
}

/** What a layer keeps of earlier positions, each [B, …, N, …]. */
export interface LayerCache extends KeyValues {
  /** Inputs of the branches that later tokens see by token shift. */
  readonly attentionShift_B1NS?: Tensor4D;
  readonly feedForwardShift_B1NS?: Tensor4D;
}

export function attentionBranch(
  p: BlockParameters,
  x_BND: Tensor3D,
  options: StreamOptions,
): { readonly update: Tensor; readonly cache: LayerCache } {
  const { training = {} } = options;
  const { dropAttention = same, gradientScale: scale } = training;
  const input = scale ? enterScale(x_BND, scale) : x_BND;
  const qkv = projected(p.attention_norm, p.attention.qkv, input, options);
  const attended = withoutActivations(
    (output, x, constants) => {
      const own = withConstants(options, constants);
      return attention(output, x, own, own.pattern);
    },
    p.attention.output,
    qkv,
    constantsOf(options),
  );
  const update = endOf(p.attention_end_norm, p.attention_scale, dropAttention(attended));
  const { keys_BHNd, values_BHNd } = splitHeads(qkv, options);
  const shifted = shiftedOf(p.attention_norm, input, options);
  return {
    update: scale ? leaveScale(update, scale) : update,
    cache: { keys_BHNd, values_BHNd, ...(shifted && { attentionShift_B1NS: shifted }) },
  };
}

export function feedForwardBranch(
  p: BlockParameters,
  x_BND: Tensor3D,
  options: StreamOptions,
): { readonly update: Tensor; readonly cache: Pick<LayerCache, 'feedForwardShift_B1NS'> } {
  const { gradientScale: scale, dropHidden } = options.training ?? {};
  const input = scale ? enterScale(x_BND, scale) : x_BND;
  const hidden = projected(p.feed_forward_norm, p.feed_forward.expand, input, options);
  const update = contracted(p, hidden, options, dropHidden);
  const shifted = shiftedOf(p.feed_forward_norm, input, options);
  return {
    update: scale ? leaveScale(update, scale) : update,
    cache: shifted ? { feedForwardShift_B1NS: shifted } : {},
  };
}

const same = (x: Tensor): Tensor => x;

/** How both branches begin: x normalized, perhaps shifted, and projected. Of these x alone is kept. */
function projected(
  norm: LayerNormParameters,
  projection: LinearParameters,
  x: Tensor,
  { shift, normEpsilon }: StreamOptions,
): Tensor {
  const begin = (p: { norm: LayerNormParameters; projection: LinearParameters }, input: Tensor): Tensor => {
    const normalized = layerNorm(p.norm, input, normEpsilon) as Tensor3D;
    return linear(p.projection, shift ? shiftTokens(normalized, shift) : normalized);
  };
  return withoutActivations(begin, { norm, projection }, x);
}

/** Of the feed-forward layer's hidden channels, to the end of the branch. Of these the hidden channels alone are kept. */
function contracted(
  p: BlockParameters,
  hidden: Tensor,
  { gated, activation = gelu }: Pick<StackOptions, 'gated' | 'activation'>,
  drop = same,
): Tensor {
  const contract = (own: LinearParameters, x: Tensor): Tensor =>
    linear(own, drop(gated ? gatedGelu(x) : activation(x)));
  const update = withoutActivations(contract, p.feed_forward.contract, hidden);
  return endOf(p.feed_forward_end_norm, p.feed_forward_scale, update);
}

/** What later positions see of a branch's input, for the cache: [B, 1, N, S]. */
const shiftedOf = (norm: LayerNormParameters, x: Tensor, { shift }: StreamOptions): Tensor4D | undefined =>
  shift && (tf.expandDims(shiftedChannels(layerNorm(norm, x)), 1) as Tensor4D);

/** The second half of the channels gates the first. */
function gatedGelu(x: Tensor): Tensor {
  const [values, gates] = tf.split(x, 2, -1) as [Tensor, Tensor];
  return tf.mul(values, gelu(gates));
}

function endOf(norm: LayerNormParameters | undefined, scale: Tensor | undefined, update: Tensor): Tensor {
  const normalized = norm ? layerNorm(norm, update) : update;
  return scale ? tf.mul(normalized, scale) : normalized;
}

/** x_BND → BND, with what later positions need of this layer. */
export function block(
  p: BlockParameters,
  x_BND: Tensor3D,
  options: StreamOptions,
): { readonly x_BND: Tensor3D; readonly cache: LayerCache } {
  const attended = attentionBranch(p, x_BND, options);
  const y_BND = tf.add(x_BND, attended.update) as Tensor3D;
  const fed = feedForwardBranch(p, y_BND, options);
  return { x_BND: tf.add(y_BND, fed.update), cache: { ...attended.cache, ...fed.cache } };
}

/** What a layer keeps, for one new position. */
export type BlockMemory = LayerCacheView<keyof LayerCache>;

/** A branch for one new position. */
export interface StepOptions extends Omit<StackOptions, 'shift'> {
  readonly rows: AttendedRows;
  /** The new position's. */
  readonly rotation?: Rotation | undefined;
  /** Where tokens shift: x_BD with the channels that it sees of earlier positions in place of its own. */
  readonly shifted?: ((x_BD: Tensor2D, kept_B1NS: Tensor) => Tensor2D) | undefined;
}

export function attentionBranchStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  memory: BlockMemory,
  options: StepOptions,
): Tensor2D {
  const normalized = layerNorm(p.attention_norm, x_BD) as Tensor2D;
  const input = shiftedInput('attentionShift_B1NS', normalized, memory, options);
  const attended = attentionStep(p.attention, input, options, memory, options.rows);
  return endOf(p.attention_end_norm, p.attention_scale, attended) as Tensor2D;
}

export function feedForwardBranchStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  memory: BlockMemory,
  options: StepOptions,
): Tensor2D {
  const normalized = layerNorm(p.feed_forward_norm, x_BD) as Tensor2D;
  const input = shiftedInput('feedForwardShift_B1NS', normalized, memory, options);
  return contracted(p, linear(p.feed_forward.expand, input), options) as Tensor2D;
}

function shiftedInput(
  part: 'attentionShift_B1NS' | 'feedForwardShift_B1NS',
  x_BD: Tensor2D,
  memory: BlockMemory,
  { shifted }: StepOptions,
): Tensor2D {
  if (!shifted) return x_BD;
  const [batch] = x_BD.shape;
  const channels = shiftedChannels(x_BD);
  const row = tf.reshape(channels, [batch, 1, 1, channels.shape[1] as number]) as Tensor4D;
  return shifted(x_BD, memory.append(part, row));
}

/** `block` for one new position. */
export function blockStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  memory: BlockMemory,
  options: StepOptions,
): Tensor2D {
  const y_BD = tf.add(x_BD, attentionBranchStep(p, x_BD, memory, options)) as Tensor2D;
  return tf.add(y_BD, feedForwardBranchStep(p, y_BD, memory, options));
}
