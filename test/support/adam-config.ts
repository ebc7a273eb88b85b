// Adam as papers have it by default, for tests of the optimizer; a test names what it changes.

import type { OptimizerConfig } from '../../src/train/optim/adam.ts';

export const ADAM: OptimizerConfig = {
  learningRate: { peak: 1, end: 0, warmup: 0, hold: 0 },
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
};
