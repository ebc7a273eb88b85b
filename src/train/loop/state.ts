// A model's training state as variables: weights, their EMA, the optimizer's moments.

import type { Runtime } from '../../engine/session/runtime.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import { initializeTogether, type Weights } from '../../nn/weights.ts';
import type { Residuals } from '../distributed/error-feedback.ts';
import type { ShownWeights, SlicedWeights } from '../distributed/sliced-weights.ts';
import type { Adam } from '../optim/adam.ts';
import type { Ema } from '../optim/ema.ts';

export interface ModelState<S extends SpecTree = SpecTree> {
  /** Without values between evaluations where `slicedWeights` has them. */
  readonly weights: Weights<S>;
  readonly slicedWeights?: SlicedWeights | undefined;
  readonly shownWeights?: ShownWeights | undefined;
  readonly optimizer: Adam;
  readonly ema: Ema<S> | undefined;
  /** Loss scales of float16; their names begin with `lossScale.`. */
  readonly lossScale?: { readonly state: Weights } | undefined;
  /** Residuals of compressed gradients, which each replica has separately. */
  readonly residuals?: Residuals | undefined;
  /** Further variables that updates depend on, saved in the optimizer's file, each set under its own name `NAME.…`. */
  readonly extra?: readonly Weights[];
}

/** Everything that is saved in the optimizer's file besides the moments. */
export const besideMoments = ({ lossScale, extra = [] }: ModelState): readonly Weights[] =>
  lossScale ? [lossScale.state, ...extra] : extra;

/**
 * The variables that updates depend on and all replicas have alike, in an order that is the same for all workers:
 * everything but the EMA and what is sliced.
 */
export const sharedState = (state: ModelState): readonly Weights[] => [
  ...(state.slicedWeights ? [] : [state.weights]),
  ...(state.optimizer.slicedMoments ? [] : [state.optimizer.moments]),
  ...besideMoments(state),
];

/** What each replica has slices of (train.sharding), in the order of the files. */
export const slicedState = ({ slicedWeights, ema, optimizer }: ModelState): readonly SlicedWeights[] =>
  [slicedWeights, ema?.slices, optimizer.slicedMoments].filter((part) => part !== undefined);

/** Initializes the weights by the seed, the moments with zeros, and the EMA with the weights; nothing that is sliced. */
export async function initialize(runtime: Runtime, state: ModelState, seed: number): Promise<void> {
  const { weights, optimizer, ema } = state;
  const moments = optimizer.slicedMoments ? [] : [optimizer.moments];
  const groups = [weights, ...moments, ...besideMoments(state)];
  await initializeTogether(runtime, groups, seed, ([assigned]) => {
    if (!ema?.slices) ema?.start(assigned);
  });
}

/** Sets a whole EMA to the weights as they are. */
export async function startEma(runtime: Runtime, { ema }: ModelState): Promise<void> {
  if (!ema || ema.slices) return;
  const start = runtime.compile('start the EMA', () => {
    ema.start();
    return {};
  });
  await start({});
}
