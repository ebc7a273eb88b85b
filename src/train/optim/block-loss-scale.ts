// Loss scales for float16, one per resblock (arXiv 2102.12092, section 2.4). A block's scale grows a little with every
// update of the block, and shrinks when a gradient of the block is not finite, which also skips that block's update.
// Parameters outside the blocks are not scaled; their update is skipped when a gradient of theirs is not finite.

import type { z } from 'zod';
import type { blockLossScaleSchema } from '../../config/dalle.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { constant } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { areFinite, magnitudes } from './loss-scale.ts';
import type { BatchGradients } from './sliced-gradients.ts';
import type { Unscaling } from './unscaling.ts';

export type BlockLossScaleConfig = z.output<typeof blockLossScaleSchema>;

/** Doubles a scale in a thousand updates; two overflows halve it. */
const GROWTH = 2 ** (1 / 1000);
const BACKOFF = Math.SQRT1_2;

const stateSpec = (layers: number, start: number) => ({
  lossScale: {
    blocks: constant([layers], start),
    /** Updates skipped so far by each block, and by the parameters outside the blocks. */
    skipped: constant([layers + 1], 0),
  },
});

export class BlockLossScale {
  readonly state: Weights<ReturnType<typeof stateSpec>>;
  readonly #layers: number;

  constructor(runtime: Runtime, prefix: string, layers: number, { start }: BlockLossScaleConfig) {
    this.#layers = layers;
    this.state = new Weights(runtime, `${prefix}/gradient scales`, stateSpec(layers, start));
  }

  /** The scale of each layer, scalars; inside a compiled function, as `update`. */
  values(): Tensor[] {
    return tf.unstack(this.state.read().lossScale.blocks);
  }

  /**
   * Checks the gradients, and sets the scales for the next step.
   * @param gradients by parameter name; those of blocks are scaled
   * @param step updates tried before this one, float32 scalar
   * @returns the unscaling of each parameter, by name, for the optimizer, and metrics
   */
  update(gradients: BatchGradients, step: Scalar) {
    const { blocks, skipped } = this.state.read().lossScale;
    const scales = tf.unstack(blocks);
    const counts = tf.unstack(skipped);
    const groups = Array.from({ length: this.#layers + 1 }, (): Scalar[] => []);
    for (const [name, sum] of magnitudes(gradients)) groups[this.#group(name)]?.push(sum);
    const groupsFinite = groups.map((group) =>
      group.length > 0 ? areFinite(group) : tf.scalar(true, 'bool'),
    );
    const finiteByGroup = tf.stack(groupsFinite);
    const finiteByBlock = tf.slice(finiteByGroup, 0, this.#layers);
    const nextSkipped = tf.add(skipped, tf.cast(tf.logicalNot(finiteByGroup), 'float32'));
    this.#variable('blocks').assign(tf.where(finiteByBlock, tf.mul(blocks, GROWTH), tf.mul(blocks, BACKOFF)));
    this.#variable('skipped').assign(nextSkipped);
    const unscalings = groups.map(
      (_, group): Unscaling => ({
        isApplied: groupsFinite[group] as Scalar,
        factor: group < this.#layers ? tf.div(1, scales[group] as Scalar) : tf.scalar(1),
        step: tf.sub(step, counts[group] as Scalar),
      }),
    );
    return {
      unscaling: (name: string): Unscaling => unscalings[this.#group(name)] as Unscaling,
      metrics: {
        minBlockLossScale: tf.min(blocks) as Scalar,
        skippedUpdates: tf.sum(nextSkipped) as Scalar,
      },
    };
  }

  /** 0 … layers − 1 for the blocks, and `layers` for everything else. */
  #group(name: string): number {
    const block = /^blocks\.block_(\d+)\./.exec(name)?.[1];
    return block === undefined ? this.#layers : Number(block) - 1;
  }

  #variable(name: 'blocks' | 'skipped') {
    return this.state.entries.get(`lossScale.${name}`)!.variable;
  }
}
