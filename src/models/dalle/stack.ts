// The residual stream through all layers. In a reversible stack, a layer's activations can be recomputed from its output.
//   B batch, N positions, D width of the stream

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import type { Recompute } from '../../config/fields.ts';
import { withGradient } from '../../engine/ops/gradient.ts';
import { foldIn } from '../../engine/ops/random.ts';
import { gradientsWithin, withControlDependency } from '../../engine/ops/recompute.ts';
import { type Tensor, type Tensor1D, type Tensor3D, tf } from '../../engine/tfjs/tf.ts';
import type { BlockParameters } from '../../nn/block-spec.ts';
import { dropout } from '../../nn/dropout.ts';
import { tensorsOf, withTensors } from '../../nn/parameters.ts';
import { residualStream, saving } from '../../nn/residual-stream.ts';
import {
  attentionBranch,
  constantsOf,
  feedForwardBranch,
  type LayerCache,
  type LayerTraining,
  type StreamOptions,
  withConstants,
} from '../../nn/transformer.ts';

/** Options of the stack in training. */
export interface DalleTraining {
  /** What is saved for the gradient; with `full`, each layer's input (of a reversible stack: nothing). */
  readonly recompute: Recompute;
  readonly dropout: { readonly attention: number; readonly feedForward: number };
  /** Key of the dropout, int32[2]. */
  readonly key: Tensor1D;
  /** A loss scale for each layer, float32 scalars. */
  readonly blockLossScales?: readonly Tensor[] | undefined;
  /** The parameters of a layer, counted from 0, of what is kept of them, once x is there; with `full`. */
  readonly parameters?:
    | ((layer: number, kept: readonly Tensor[], x: Tensor) => readonly Tensor[])
    | undefined;
}

/** The training options of layer `layer`, counted from 0. */
export function layerTraining(layer: number, training: DalleTraining): LayerTraining {
  const { attention, feedForward } = training.dropout;
  const drop = (rate: number, branch: string) => (x: Tensor) =>
    dropout(x, rate, foldIn(training.key, `dropout of ${branch} ${layer + 1}`));
  const lossScale = training.blockLossScales?.[layer];
  const { parameters } = training;
  return {
    dropAttention: drop(attention, 'attention'),
    dropHidden: drop(feedForward, 'feed-forward'),
    ...(lossScale && { lossScale }),
    ...(parameters && { parameters: (kept, x) => parameters(layer, kept, x) }),
  };
}

/**
 * x_BND → BND, and the KV cache of each layer; none with `full`.
 * @param first number of layers before these; a reversible stack runs as a whole
 */
export function runStack(
  blocks: readonly BlockParameters[],
  x_BND: Tensor3D,
  layers: readonly StreamOptions[],
  { reversible }: DalleModelConfig,
  recompute: Recompute,
  first = 0,
): { readonly x_BND: Tensor3D; readonly cache: LayerCache[] } {
  if (!reversible) return residualStream(blocks, x_BND, layers, recompute, first);
  if (recompute !== 'full') return runReversible(blocks, x_BND, saving(recompute, layers));
  return { x_BND: reversibleWithoutActivations(blocks, x_BND, layers), cache: [] };
}

/**
 * Two streams (arXiv 1707.04585): attention reads the second and updates the first, the feed-forward layer reads the
 * first and updates the second.
 */
function runReversible(
  blocks: readonly BlockParameters[],
  input_BND: Tensor3D,
  layers: readonly StreamOptions[],
) {
  const { first, second, cache } = twoStreams(blocks, input_BND, layers);
  return { x_BND: tf.mul(tf.add(first, second), 0.5) as Tensor3D, cache };
}

function twoStreams(
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
  return { first, second, cache };
}

/** `runReversible`, whose gradient recomputes each layer's inputs from its outputs instead of saving them. */
function reversibleWithoutActivations(
  blocks: readonly BlockParameters[],
  x_BND: Tensor3D,
  layers: readonly StreamOptions[],
): Tensor3D {
  const parameters = blocks.map(tensorsOf);
  const counts = parameters.map(({ length }) => length);
  const constantCounts = layers.map((options) => constantsOf(options).length);
  return withGradient<Tensor3D>(
    (save, ...inputs) => {
      const [x, ...tensors] = inputs.slice(0, 1 + parameters.flat().length) as [Tensor, ...Tensor[]];
      const own = chunks(tensors, counts);
      const ours = blocks.map((p, layer) => withTensors(p, own[layer] as Tensor[]));
      const { first, second } = twoStreams(ours, x as Tensor3D, layers);
      save([first, second, ...tensors, ...layers.flatMap(constantsOf)]);
      return {
        value: tf.mul(tf.add(first, second), 0.5),
        gradFunc: (dy, [lastFirst, lastSecond, ...saved]) => {
          let [y1, y2] = [lastFirst as Tensor, lastSecond as Tensor];
          let [dy1, dy2] = [tf.mul(dy, 0.5), tf.mul(dy, 0.5)];
          const gradients: Tensor[][] = [];
          const weights = chunks(saved, counts);
          const constants = chunks(saved.slice(tensors.length), constantCounts);
          for (let layer = blocks.length - 1; layer >= 0; layer--) {
            const p = blocks[layer] as BlockParameters;
            const options = withConstants(layers[layer] as StreamOptions, constants[layer] as Tensor[]);
            const split = partsOf(p, weights[layer] as Tensor[]);
            const fed = gradientsWithin(
              (x2, ...own) => feedForwardBranch(split.feedForward(own), x2 as Tensor3D, options).update,
              [withControlDependency(y1, dy2), ...split.ofFeedForward],
              dy2,
            );
            y2 = tf.sub(withControlDependency(y2, dy2), fed.value);
            dy1 = tf.add(dy1, fed.gradients[0] as Tensor);
            const attended = gradientsWithin(
              (x2, ...own) => attentionBranch(split.attention(own), x2 as Tensor3D, options).update,
              [withControlDependency(y2, dy1), ...split.ofAttention],
              dy1,
            );
            y1 = tf.sub(withControlDependency(y1, dy1), attended.value);
            dy2 = tf.add(dy2, attended.gradients[0] as Tensor);
            gradients[layer] = split.inOrder(attended.gradients.slice(1), fed.gradients.slice(1));
          }
          return [tf.add(dy1, dy2), ...gradients.flat()];
        },
      };
    },
    x_BND,
    ...parameters.flat(),
  );
}

/** Splits into consecutive parts of these lengths. */
function chunks(tensors: readonly Tensor[], counts: readonly number[]): Tensor[][] {
  const left = tensors.values();
  return counts.map((count) => Array.from({ length: count }, () => left.next().value as Tensor));
}

/** The tensors of a block, split by branch. */
function partsOf(p: BlockParameters, tensors: readonly Tensor[]) {
  const named = withTensors(p, tensors);
  const isAttention = (name: string): boolean => name.startsWith('attention');
  const entries = Object.entries(named);
  const pick = (keep: (name: string) => boolean) =>
    Object.fromEntries(entries.filter(([name]) => keep(name))) as unknown as BlockParameters;
  const [attention, feedForward] = [pick(isAttention), pick((name) => !isAttention(name))];
  return {
    ofAttention: tensorsOf(attention),
    ofFeedForward: tensorsOf(feedForward),
    attention: (own: readonly Tensor[]) => withTensors(attention, own),
    feedForward: (own: readonly Tensor[]) => withTensors(feedForward, own),
    /** Gradients of both branches in the order of the block's tensors. */
    inOrder(ofAttention: readonly Tensor[], ofFeedForward: readonly Tensor[]): Tensor[] {
      const all = { ...withTensors(attention, ofAttention), ...withTensors(feedForward, ofFeedForward) };
      return tensorsOf(
        Object.fromEntries(entries.map(([name]) => [name, all[name as keyof BlockParameters]])),
      );
    },
  };
}
