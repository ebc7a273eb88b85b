// The residual stream through blocks, one after the other, and what is saved of it for the gradient.
//   B batch, N positions, D width of the stream

import type { Recompute } from '../config/fields.ts';
import { inPart } from '../engine/graph/origin.ts';
import { recomputed } from '../engine/ops/recompute.ts';
import type { Tensor, Tensor3D } from '../engine/tfjs/tf.ts';
import type { BlockParameters } from './block-spec.ts';
import { tensorsOf, withTensors } from './parameters.ts';
import { block, constantsOf, type LayerCache, type StreamOptions, withConstants } from './transformer.ts';

/** The options of layers of which `recompute` says what they save. */
export const saving = <Options extends StreamOptions>(
  recompute: Recompute,
  layers: readonly Options[],
): readonly Options[] =>
  recompute === 'none' ? layers.map((options) => ({ ...options, keepsActivations: true })) : layers;

/**
 * x_BND → BND, and the KV cache of each layer; none with `full`.
 * @param layers the options of each block
 * @param first number of layers before these, for the names of parts
 */
export function residualStream(
  blocks: readonly BlockParameters[],
  x_BND: Tensor3D,
  layers: readonly StreamOptions[],
  recompute: Recompute,
  first = 0,
): { readonly x_BND: Tensor3D; readonly cache: LayerCache[] } {
  const run = recompute === 'full' ? fromInputs : fromActivations;
  return run(blocks, x_BND, saving(recompute, layers), first);
}

/** Saves the activations that the gradient needs. */
function fromActivations(
  blocks: readonly BlockParameters[],
  input_BND: Tensor3D,
  layers: readonly StreamOptions[],
  first: number,
) {
  let x_BND = input_BND;
  const cache = blocks.map((p, layer) => {
    const done = inPart(`layer ${first + layer + 1}`, () => block(p, x_BND, layers[layer] as StreamOptions));
    x_BND = done.x_BND;
    return done.cache;
  });
  return { x_BND, cache };
}

/** Saves the input of each block. */
function fromInputs(
  blocks: readonly BlockParameters[],
  input_BND: Tensor3D,
  layers: readonly StreamOptions[],
  first: number,
) {
  const x_BND = blocks.reduce((stream, p, layer) => {
    const options = layers[layer] as StreamOptions;
    const whole = options.training?.parameters ?? ((kept: readonly Tensor[]) => kept);
    const run = (x: Tensor, tensors: readonly Tensor[], constants: readonly Tensor[]): Tensor =>
      block(withTensors(p, whole(tensors, x)), x as Tensor3D, withConstants(options, constants)).x_BND;
    const named: typeof run = (...inputs) => inPart(`layer ${first + layer + 1}`, () => run(...inputs));
    return recomputed(named, stream, tensorsOf(p), constantsOf(options)) as Tensor3D;
  }, input_BND);
  return { x_BND, cache: [] };
}
