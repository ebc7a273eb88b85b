// The pre-LayerNorm resblock: attention, then a feed-forward layer four times as wide with GELU.
//   B batch, N positions, D width, H heads, d width of a head

import { gelu } from '../engine/ops.ts';
import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../engine/tf.ts';
import { attention, attentionSpec, attentionStep, type KeyValues } from './attention.ts';
import { layerNorm, layerNormSpec } from './layer-norm.ts';
import { linear, linearSpec } from './linear.ts';
import type { Parameters } from './parameters.ts';

const EXPANSION = 4;

/** Projections into the residual stream start smaller, by 1/√(2 · layers), so that its variance does not grow with depth. */
export const blockSpec = (width: number, layers: number, stddev: number) => {
  const residualStddev = stddev / Math.sqrt(2 * layers);
  return {
    attention_norm: layerNormSpec(width),
    attention: attentionSpec(width, stddev, residualStddev),
    feed_forward_norm: layerNormSpec(width),
    feed_forward: {
      expand: linearSpec(width, EXPANSION * width, stddev),
      contract: linearSpec(EXPANSION * width, width, residualStddev),
    },
  };
};
export type BlockParameters = Parameters<ReturnType<typeof blockSpec>>;

function feedForward(p: BlockParameters, x: Tensor): Tensor {
  const hidden = linear(p.feed_forward.expand, layerNorm(p.feed_forward_norm, x));
  return tf.add(x, linear(p.feed_forward.contract, gelu(hidden)));
}

/** x_BND → BND under `mask_NN`, with the keys and values of its attention. */
export function block(
  p: BlockParameters,
  x_BND: Tensor3D,
  heads: number,
  mask_NN: Tensor2D,
): KeyValues & { x_BND: Tensor3D } {
  const { x_BND: update, ...keyValues } = attention(
    p.attention,
    layerNorm(p.attention_norm, x_BND) as Tensor3D,
    heads,
    mask_NN,
  );
  return { x_BND: feedForward(p, tf.add(x_BND, update)) as Tensor3D, ...keyValues };
}

/** The same for one new position; see `attentionStep` for the cache, the mask and the row returned. */
export function blockStep(
  p: BlockParameters,
  x_BD: Tensor2D,
  heads: number,
  cache: KeyValues,
  mask_1N: Tensor2D,
): KeyValues & { x_BD: Tensor2D } {
  const { x_BD: update, ...row } = attentionStep(
    p.attention,
    layerNorm(p.attention_norm, x_BD) as Tensor2D,
    heads,
    cache,
    mask_1N,
  );
  return { x_BD: feedForward(p, tf.add(x_BD, update)) as Tensor2D, ...row };
}
