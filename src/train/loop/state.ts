// A model's training state as variables: weights, their EMA, the optimizer's moments.

import type { Runtime } from '../../engine/session/runtime.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import type { Residuals } from '../distributed/error-feedback.ts';
import type { Adam } from '../optim/adam.ts';
import type { Ema } from '../optim/ema.ts';

export interface ModelState<S extends SpecTree = SpecTree> {
  readonly weights: Weights<S>;
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

/** The variables that updates depend on, in an order that is the same for all workers: everything but the EMA. */
export const sharedState = (state: ModelState): readonly Weights[] => [
  state.weights,
  state.optimizer.moments,
  ...besideMoments(state),
];

/** Initializes the weights by the seed, the moments with zeros, and the EMA with the weights. */
export async function initialize(runtime: Runtime, state: ModelState, seed: number): Promise<void> {
  await state.weights.initialize(seed);
  await state.optimizer.moments.initialize(seed);
  for (const weights of besideMoments(state)) await weights.initialize(seed);
  await startEma(runtime, state);
}

/** Sets the EMA to the weights as they are. */
export async function startEma(runtime: Runtime, { ema }: ModelState): Promise<void> {
  if (!ema) return;
  const start = runtime.compile('start the EMA', () => {
    ema.start();
    return {};
  });
  await start({});
}
