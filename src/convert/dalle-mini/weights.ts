// The weights of a DALL·E mini by our names, with min-dalle's names given.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type DalleMiniConfig, dalleMiniModelSchema } from '../../config/dalle-mini.ts';
import { dalleMiniSpec } from '../../models/dalle-mini/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { DataError } from '../../util/errors.ts';
import type { Layout } from '../layouts.ts';
import { renameExactly } from '../rules.ts';
import type { ExternalTensor, StateDict } from '../tensors.ts';
import { externalTensor } from '../tensors.ts';
import { dalleMiniRules } from './names.ts';

const MODEL = 'a DALL·E mini';

export const unusable = (what: string, where: string, fix: string): DataError =>
  new DataError(what, { code: 'E_WEIGHTS_UNSUPPORTED', where, fix });

/** Sizes that the weights have. Heads and the numbers of tokens are not among them. */
export function sizesOf(tensors: StateDict, linear: Layout) {
  const size = (name: string, axis: number): number => tensors.get(name)?.shape[axis] ?? 0;
  const count = (coder: string): number =>
    new Set(
      [...tensors.keys()].flatMap(
        (name) => new RegExp(`^${coder}\\.layers\\.(\\d+)\\.`).exec(name)?.[1] ?? [],
      ),
    ).size;
  const outputs = linear === 'linear' ? 0 : 1;
  return {
    textLength: size('encoder.embed_positions.weight', 0),
    textVocabulary: size('encoder.embed_tokens.weight', 0),
    imageClasses: size('decoder.embed_tokens.weight', 0),
    grid: Math.sqrt(size('decoder.embed_positions.weight', 0)),
    width: size('encoder.embed_tokens.weight', 1),
    encoderLayers: count('encoder'),
    decoderLayers: count('decoder'),
    encoderHidden: size('encoder.layers.0.glu.fc0.weight', outputs),
    decoderHidden: size('decoder.layers.0.glu.fc0.weight', outputs),
  };
}

/** @throws DataError E_WEIGHTS_UNSUPPORTED when they are not those of such a model */
export function parseModel(settings: object, where: string): DalleMiniConfig {
  const parsed = dalleMiniModelSchema.safeParse({ architecture: 'dalle-mini', ...settings });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unusable(
    `its ${issue?.path.join('.')} cannot be used: ${issue?.message}`,
    where,
    'check that the files are those of one model',
  );
}

/**
 * Renames the weights. Gains that the files do not have are 1: dalle-mini leaves those out that the next matrix could
 * hold (force_ln_scale).
 * @throws DataError when they do not fit the configuration
 */
export function dalleMiniWeights(
  given: StateDict,
  model: DalleMiniConfig,
  { where, linear, notes }: { readonly where: string; readonly linear: Layout; readonly notes: string[] },
): ReadonlyMap<string, TensorSource> {
  const rules = dalleMiniRules(model, linear);
  const spec = dalleMiniSpec(model);
  const shapes = new Map(flatten(spec).map(([name, { shape }]) => [name, shape]));
  const tensors = new Map(given);
  let constant = 0;
  for (const [ours, theirs] of rules) {
    if (!ours.endsWith('.gain') || tensors.has(theirs as string)) continue;
    tensors.set(theirs as string, ones(shapes.get(ours) as readonly number[]));
    constant++;
  }
  if (constant > 0) notes.push(`${constant} gains of norms are 1: the files have none`);
  return renameExactly(tensors, rules, spec, where, /^$/, MODEL).tensors;
}

const ones = (shape: readonly number[]): ExternalTensor =>
  externalTensor('float32', shape, async () => ({
    dtype: 'float32',
    shape,
    data: new Float32Array(shape[0] ?? 0).fill(1),
  }));
