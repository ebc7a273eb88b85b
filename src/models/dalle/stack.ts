// The residual stream through all layers.
//   B batch, N positions, D width

import type { DalleModelConfig } from '../../config/dalle.ts';
import { type Tensor3D, tf } from '../../engine/tf.ts';
import {
  attentionBranch,
  type BlockParameters,
  block,
  feedForwardBranch,
  type LayerCache,
  type StreamOptions,
} from '../../nn/transformer.ts';

/** x_BND → BND, with what each layer keeps for decoding. */
export function runStack(
  blocks: readonly BlockParameters[],
  x_BND: Tensor3D,
  layers: readonly StreamOptions[],
  { reversible }: DalleModelConfig,
): { readonly x_BND: Tensor3D; readonly cache: LayerCache[] } {
  return reversible ? runReversible(blocks, x_BND, layers) : runResidual(blocks, x_BND, layers);
}

function runResidual(
  blocks: readonly BlockParameters[],
  input_BND: Tensor3D,
  layers: readonly StreamOptions[],
) {
  let x_BND = input_BND;
  const cache = blocks.map((p, layer) => {
    const done = block(p, x_BND, layers[layer] as StreamOptions);
    x_BND = done.x_BND;
    return done.cache;
  });
  return { x_BND, cache };
}

/** Two streams (arXiv 1707.04585): attention adds to the first what it makes of the second, and the other way round. */
function runReversible(
  blocks: readonly BlockParameters[],
  input_BND: Tensor3D,
  layers: readonly StreamOptions[],
) {
  let [first, second] = [input_BND, input_BND];
  const cache = blocks.map((p, layer) => {
    const options = layers[layer] as StreamOptions;
    const attended = attentionBranch(p, second, options);
    first = tf.add(first, attended.update);
    const fed = feedForwardBranch(p, first, options);
    second = tf.add(second, fed.update);
    return { ...attended.cache, ...fed.cache };
  });
  return { x_BND: tf.mul(tf.add(first, second), 0.5) as Tensor3D, cache };
}
