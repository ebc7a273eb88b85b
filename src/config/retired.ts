// Configuration keys and values by the names that they had before version 2.

import type { ModelKind } from './kind.ts';

/** Dotted keys of each kind of configuration. */
export const RETIRED_KEYS: Readonly<Record<ModelKind, readonly (readonly [old: string, now: string])[]>> = {
  dvae: [
    ['model.hidden', 'model.hiddenChannels'],
    ['train.averaging', 'train.ema'],
    ['train.warmStart.pictures', 'train.warmStart.images'],
  ],
  dalle: [
    ['model.convolution', 'model.kernelSize'],
    ['train.accumulate', 'train.accumulateSteps'],
    ['train.averaging', 'train.ema'],
    ['train.codebookStart', 'train.codebookInit'],
    ['train.from', 'train.initFrom'],
    ['train.gradientScale', 'train.blockLossScale'],
    ['train.plateau.times', 'train.plateau.maxCuts'],
  ],
  clip: [
    ['data.zeroShot.pictures', 'data.zeroShot.images'],
    ['model.image.deviation', 'model.image.stddev'],
    ['train.averaging', 'train.ema'],
    ['train.chunk', 'train.gradCacheChunk'],
  ],
};

/** Values of `model.attention` and `model.lastAttention` of a dalle configuration. */
export const RETIRED_ATTENTION_KINDS: Readonly<Record<string, string>> = {
  ownRow: 'axial-row',
  corner: 'conv-like',
};
