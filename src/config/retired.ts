// Configuration keys and values that were renamed. A configuration that still has one gets an error with the new
// name; the configurations of old checkpoints and run folders are upgraded by `upgradeConfig`.

import { isMap, type ModelKind } from './kind.ts';

type Rename = readonly [old: string, now: string];
type ValueRename = readonly [old: string | boolean, now: string];

/** Dotted keys, old and new, by the kind of model that is configured. A rename never moves a key to another section. */
export const RETIRED_KEYS: Readonly<Record<ModelKind, readonly Rename[]>> = {
  dvae: [
    ['model.hidden', 'model.hiddenChannels'],
    ['train.averaging', 'train.ema'],
    ['train.warmStart.pictures', 'train.warmStart.images'],
  ],
  dalle: [
    ['model.convolution', 'model.kernelSize'],
    ['train.averaging', 'train.ema'],
    ['train.accumulate', 'train.accumulateSteps'],
    ['train.codebookStart', 'train.codebookInit'],
    ['train.gradientScale', 'train.blockLossScale'],
    ['train.from', 'train.initFrom'],
    ['train.plateau.times', 'train.plateau.maxCuts'],
  ],
  clip: [
    ['data.zeroShot.pictures', 'data.zeroShot.images'],
    ['model.image.deviation', 'model.image.stddev'],
    ['train.chunk', 'train.gradCacheChunk'],
    ['train.averaging', 'train.ema'],
  ],
};

/** Values of a key, or of the items of its list, old and new. */
export const RETIRED_VALUES: Readonly<Record<ModelKind, Readonly<Record<string, readonly ValueRename[]>>>> = {
  dvae: {},
  dalle: {
    'model.attention': [
      ['ownRow', 'axial-row'],
      ['corner', 'conv-like'],
    ],
    'model.lastAttention': [
      ['ownRow', 'axial-row'],
      ['corner', 'conv-like'],
    ],
    'train.recompute': [
      [false, 'light'],
      [true, 'full'],
    ],
  },
  clip: {},
};

/** `tree` with the value at `path`, where there is one, replaced by `edit(key, value)`: its new key and value. */
function editAt(
  tree: unknown,
  path: readonly string[],
  edit: (key: string, value: unknown) => readonly [string, unknown],
): unknown {
  const [key, ...rest] = path as [string, ...string[]];
  if (!isMap(tree) || !Object.hasOwn(tree, key)) return tree;
  return Object.fromEntries(
    Object.entries(tree).map(([name, value]) => {
      if (name !== key) return [name, value];
      return rest.length === 0 ? edit(name, value) : [name, editAt(value, rest, edit)];
    }),
  );
}

/** The configuration of a model with its renamed keys and values under their new names; `tree` itself is not changed. */
export function upgradeConfig(kind: ModelKind, tree: unknown): unknown {
  let upgraded = tree;
  for (const [old, now] of RETIRED_KEYS[kind]) {
    const name = now.split('.').at(-1) as string;
    upgraded = editAt(upgraded, old.split('.'), (_, value) => [name, value]);
  }
  for (const [path, renames] of Object.entries(RETIRED_VALUES[kind])) {
    const renamed = (value: unknown): unknown => renames.find(([old]) => old === value)?.[1] ?? value;
    upgraded = editAt(upgraded, path.split('.'), (key, value) => [
      key,
      Array.isArray(value) ? value.map(renamed) : renamed(value),
    ]);
  }
  return upgraded;
}

/** The new name of a key, by its old dotted path; every name it got, for the reader of an error to choose from. */
export const newNamesOf = (path: string): string[] =>
  Object.values(RETIRED_KEYS).flatMap((renames) =>
    renames.filter(([old]) => old === path).map(([, now]) => now),
  );

/** The new name of a value of the key at a dotted path; undefined where it had no other. */
export const newValueOf = (path: string, value: unknown): string | undefined =>
  Object.values(RETIRED_VALUES)
    .flatMap((byPath) => byPath[path] ?? [])
    .find(([old]) => old === value)?.[1];
