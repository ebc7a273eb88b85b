// Pre-LayerNorm Transformer block: attention, then a 4× feed-forward layer. Each branch returns its *update*, because
// reversible stacks add updates in another order. CLIP's encoders use the same block with a plain mask.
//   B batch, N positions, D width of the stream, A heads, d width of a head, S = D / 2 channels of token shift,
//   U groups of queries, Q queries, K keys of a group

import { isDifferentiating } from '../engine/ops/gradient.ts';
import { checkpointedValue } from '../engine/ops/recompute.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import {
  type AttendedRows,
  attention,
  attentionAt,
  attentionStep,
  type KeyValues,
  type LayerCacheView,
  type Position,
  splitHeads,
} from './attention.ts';
import type { StreamLayout } from './attention-kinds.ts';
import type { AttentionPattern } from './attention-pattern.ts';
import { enterScale, leaveScale } from './block-loss-scale.ts';
import type { BlockParameters } from './block-spec.ts';
import type { Activation } from './functional/activation.ts';
import { gelu } from './functional/gelu.ts';
import { type LayerNormParameters, layerNorm } from './layer-norm.ts';
import { type LinearParameters, linear } from './linear.ts';
import type { Rotation } from './rotary.ts';
import { shiftedChannels, shiftTokens } from './token-shift.ts';
import { withActivations, withoutActivations } from './without-activations.ts';

/** Options that all blocks of a stack share. */
export interface StackOptions {
  readonly heads: number;
  /** See `BlockShape`. */
  readonly gated?: boolean;
  /** GELU by default. */
  readonly activation?: Activation;
  /** Epsilon of the layer norms at the start of the branches; `layerNorm`'s by default. */
  readonly normEpsilon?: number;
  /** See `AttendOptions`. */
  readonly sharpness?: number | undefined;
  /** Layout of the stream for token shift; no token shift when undefined. */
  readonly shift?: StreamLayout | undefined;
  /** Whether cheap activations too are saved for the gradient, instead of recomputed. */
  readonly keepsActivations?: boolean;
}

/** Changes to a layer's activations and gradients in training. */
export interface LayerTraining {
  /** Dropout of the attention's output, and of the feed-forward layer's hidden channels. */
  readonly dropAttention?: (x: Tensor) => Tensor;
  readonly dropHidden?: (x: Tensor) => Tensor;
  /** Factor on the gradients inside the branches, a scalar: see block-loss-scale.ts. */
  readonly lossScale?: Tensor;
  /** The layer's parameters, of what is kept of them, once x is there: for a layer that is recomputed. */
  readonly parameters?: ((kept: readonly Tensor[], x: Tensor) => readonly Tensor[]) | undefined;
}

/** Options of a branch over a whole stream. */
export interface StreamOptions extends StackOptions {
  readonly pattern: AttentionPattern;
  readonly rotation?: Rotation | undefined;
  readonly training?: LayerTraining | undefined;
}

/** The constant tensors of a layer's options: masks and rotations. */
export function constantsOf({ pattern, rotation }: StreamOptions): Tensor[] {
  const { mask_QQ, image_UQK } = pattern;
  return [mask_QQ, image_UQK, ...Object.values(rotation ?? {})].flatMap((tensor) => tensor ?? []);
}

/** The same options with these tensors instead of `constantsOf`. */
export function withConstants(options: StreamOptions, constants: readonly Tensor[]): StreamOptions {
  const left = constants.values();
  const next = () => left.next().value as Tensor2D;
  const mask_QQ = options.pattern.mask_QQ && next();
  const image_UQK = options.pattern.image_UQK && next();
  const rotation = options.rotation && { cosine_Nd: next(), sine_Nd: next() };
  return { ...options, pattern: { ...options.pattern, mask_QQ, image_UQK }, rotation };
}

/** The KV cache of a layer, each part [B, …, N, …]. */
export interface LayerCache extends KeyValues {
  /** Channels of the branches' inputs that later tokens take by token shift. */
  readonly attentionShift_B1NS?: Tensor4D;
  readonly feedForwardShift_B1NS?: Tensor4D;
}

/** The update of the attention branch, [B, N, D], and its part of the cache. */
export function attentionBranch(
  p: BlockParameters,
  x_BND: Tensor3D,
  options: StreamOptions,
): { readonly update: Tensor; readonly cache: LayerCache } {
  const { training = {} } = options;
  const { dropAttention = same, lossScale: scale } = training;
  const input = scale ? enterScale(x_BND, scale) : x_BND;
  const qkv = part(options)(
    (own, x) => linear(own.qkv, normalize(own.norm, x, options)),
    { norm: p.attention_norm, qkv: p.attention.qkv },
    input,
  );
  const attended = part(options)(
    (output, x, constants) => {
      const own = withConstants(options, constants);
      return attention(output, x, own, own.pattern);
    },
    p.attention.output,
    qkv,
    constantsOf(options),
  );
  const update = finishBranch(p.attention_end_norm, p.attention_scale, dropAttention(attended));
  const { keys_BANd, values_BANd } = splitHeads(qkv, options);
  const shifted = shiftCache(p.attention_norm, input, options);
  return {
    update: scale ? leaveScale(update, scale) : update,
    cache: { keys_BANd, values_BANd, ...(shifted && { attentionShift_B1NS: shifted }) },
  };
}

/** The update of the feed-forward branch, [B, N, D], and its part of the cache. */
export function feedForwardBranch(
  p: BlockParameters,
  x_BND: Tensor3D,
  options: StackOptions & Pick<StreamOptions, 'training'>,
): { readonly update: Tensor; readonly cache: Pick<LayerCache, 'feedForwardShift_B1NS'> } {
  const { lossScale: scale, dropHidden = same } = options.training ?? {};
  const input = scale ? enterScale(x_BND, scale) : x_BND;
  const fed = part(options)(
    (own, x) => {
      const normalized = normalize(own.norm, x, options);
      const hidden = options.gated && splitsWeights(normalized) ? halves(own.expand) : [own.expand];
      const products = hidden.map((projection) => checkpointedValue(linear(projection, normalized)));
      return linear(own.contract, dropHidden(activate(products, options)));
    },
    { norm: p.feed_forward_norm, ...p.feed_forward },
    input,
  );
  const update = finishBranch(p.feed_forward_end_norm, p.feed_forward_scale, fed);
  const shifted = shiftCache(p.feed_forward_norm, input, options);
  return {
    update: scale ? leaveScale(update, scale) : update,
    cache: shifted ? { feedForwardShift_B1NS: shifted } : {},
  };
}

const same = (x: Tensor): Tensor => x;

/** How a part of a branch is called; saves only its input for the gradient unless activations are kept. */
const part = ({ keepsActivations }: Pick<StackOptions, 'keepsActivations'>): typeof withoutActivations =>
  keepsActivations ? withActivations : withoutActivations;

/** The start of both branches: normalization and token shift. */
function normalize(norm: LayerNormParameters, x: Tensor, { shift, normEpsilon }: StackOptions): Tensor {
  const normalized = layerNorm(norm, x, normEpsilon) as Tensor3D;
  return shift ? shiftTokens(normalized, shift) : normalized;
}

/** Whether weights are split, and their gradients joined, instead of activations: in training, where they are fewer. */
const splitsWeights = (x: Tensor): boolean => isDifferentiating() && x.size > (x.shape.at(-1) as number) ** 2;

/** The two halves of the channels that a projection gives, by a projection each. */
function halves({ weight, bias }: LinearParameters): LinearParameters[] {
  const weights = tf.split(weight, 2, -1);
  const biases = bias && tf.split(bias, 2, -1);
  return weights.map((own, i) => ({ weight: own, bias: biases?.[i] }) as LinearParameters);
}

/**
 * The activation of the feed-forward branch. The second half of the channels gates the first in gated layers.
 * @param hidden hidden channels, whole or in halves
 */
function activate(hidden: readonly Tensor[], { activation = gelu, gated }: StackOptions): Tensor {
  const [values, gates] = gated && hidden.length === 1 ? tf.split(hidden[0] as Tensor, 2, -1) : hidden;
  return gates ? activation.gated(values as Tensor, gates) : activation(values as Tensor);
}

/** Channels of a branch's input that later positions take by token shift, for the cache: [B, 1, N, S]. */
const shiftCache = (norm: LayerNormParameters, x: Tensor, { shift }: StackOptions): Tensor4D | undefined =>
  shift && (tf.expandDims(shiftedChannels(layerNorm(norm, x)), 1) as Tensor4D);

/** The end of both branches: the second norm and the channel scales, if any. */
function finishBranch(
  norm: LayerNormParameters | undefined,
  scale: Tensor | undefined,
  update: Tensor,
): Tensor {
  const normalized = norm ? layerNorm(norm, update) : update;
  return scale ? tf.mul(normalized, scale) : normalized;
}

/** One block: x_BND → BND, and the KV cache of the layer. */
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

/**
 * `block` of one position: [B, 1, D]. Of the others it takes keys and values only, a quarter of the work.
 * @param mask_B11N added to the scores of the position
 */
export function blockAt(
  position: Position,
  p: BlockParameters,
  x_BND: Tensor3D,
  options: Omit<StackOptions, 'shift'>,
  mask_B11N?: Tensor,
): Tensor3D {
  const { qkv, output } = p.attention;
  const projected = linear(qkv, normalize(p.attention_norm, x_BND, options)) as Tensor3D;
  const attended = attentionAt(position, output, projected, options, mask_B11N);
  const update = finishBranch(p.attention_end_norm, p.attention_scale, attended);
  const y_B1D = tf.add(position(x_BND), update) as Tensor3D;
  return tf.add(y_B1D, feedForwardBranch(p, y_B1D, options).update);
}

/** The KV cache of a layer, as one new position sees it. */
export type BlockCacheView = LayerCacheView<keyof LayerCache>;

/** Options of a branch for one new position. */
export interface StepOptions extends Omit<StackOptions, 'shift'> {
  readonly rows: AttendedRows;
  /** Rotation of the new position. */
  readonly rotation?: Rotation | undefined;
  /** Token shift of x_BD from the cached channels, if any. */
  readonly shifted?: ((x_BD: Tensor2D, cache_B1NS: Tensor) => Tensor2D) | undefined;
}

/** `attentionBranch` for one new position: [B, D]. */
export function attentionBranchStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  cache: BlockCacheView,
  options: StepOptions,
): Tensor2D {
  const normalized = layerNorm(p.attention_norm, x_BD) as Tensor2D;
  const input = shiftedInput('attentionShift_B1NS', normalized, cache, options);
  const attended = attentionStep(p.attention, input, options, cache, options.rows);
  return finishBranch(p.attention_end_norm, p.attention_scale, attended) as Tensor2D;
}

/** `feedForwardBranch` for one new position: [B, D]. */
export function feedForwardBranchStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  cache: BlockCacheView,
  options: StepOptions,
): Tensor2D {
  const normalized = layerNorm(p.feed_forward_norm, x_BD) as Tensor2D;
  const input = shiftedInput('feedForwardShift_B1NS', normalized, cache, options);
  const { expand, contract } = p.feed_forward;
  const update = linear(contract, activate([linear(expand, input)], options));
  return finishBranch(p.feed_forward_end_norm, p.feed_forward_scale, update) as Tensor2D;
}

/** Caches the channels of x_BD that later positions take, and shifts x_BD. */
function shiftedInput(
  part: 'attentionShift_B1NS' | 'feedForwardShift_B1NS',
  x_BD: Tensor2D,
  cache: BlockCacheView,
  { shifted }: StepOptions,
): Tensor2D {
  if (!shifted) return x_BD;
  const [batch] = x_BD.shape;
  const channels = shiftedChannels(x_BD);
  const row = tf.reshape(channels, [batch, 1, 1, channels.shape[1] as number]) as Tensor4D;
  return shifted(x_BD, cache.append(part, row));
}

/** `block` for one new position: [B, D]. */
export function blockStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  cache: BlockCacheView,
  options: StepOptions,
): Tensor2D {
  const y_BD = tf.add(x_BD, attentionBranchStep(p, x_BD, cache, options)) as Tensor2D;
  return tf.add(y_BD, feedForwardBranchStep(p, y_BD, cache, options));
}
