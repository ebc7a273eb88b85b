// Rules that rename the tensors of PyTorch programs: one kind for all models. A rule names one parameter of ours, the
// tensor or tensors it is read from, and their layout; the rules of each model are in names.ts of its folder.
// Here they are read from left to right, from their names to ours; inverse.ts reads the same rules the other way.

import type { TensorSource } from '../checkpoint/safetensors.ts';
import { flatten, type SpecTree } from '../nn/parameters.ts';
import { DataError } from '../util/errors.ts';
import { type Layout, layoutRule, moveOutputs } from './layouts.ts';
import { type ExternalTensor, isFloat, joined, misfit, type StateDict, storedType } from './tensors.ts';

/** Ranges of rows, which follow each other. */
export type Rows = readonly (readonly [start: number, count: number])[];

/** Our name; the external name, or several whose rows follow each other; the layout there; a part of their rows. */
export type Rule = readonly [
  ours: string,
  theirs: string | readonly string[],
  layout: Layout,
  rows?: Rows | undefined,
];

/** Weight and bias of a layer. */
export const layer = (ours: string, theirs: string, layout: Layout = 'linear', rows?: Rows): Rule[] => [
  [`${ours}.weight`, `${theirs}.weight`, layout, rows],
  [`${ours}.bias`, `${theirs}.bias`, 'plain', rows],
];

/** Gain and bias of a normalization. */
export const norm = (ours: string, theirs: string): Rule[] => [
  [`${ours}.gain`, `${theirs}.weight`, 'plain'],
  [`${ours}.bias`, `${theirs}.bias`, 'plain'],
];

/** The rules of `count` layers, numbered from 0. */
export const times = (count: number, rules: (i: number) => Rule[]): Rule[] =>
  Array.from({ length: count }, (_, i) => rules(i)).flat();

export const namesOf = ([, theirs]: Rule): readonly string[] =>
  typeof theirs === 'string' ? [theirs] : theirs;

/** The external names that rules read, each once. */
export const externalNames = (rules: readonly Rule[]): string[] => [...new Set(rules.flatMap(namesOf))];

/** A weight to write; `isNarrowed` where it is stored in fewer bits than it came in. */
export interface WeightSource extends TensorSource {
  readonly isNarrowed?: boolean;
}

/**
 * A weight as a tensor of a checkpoint, in the type it has; float64 becomes float32.
 * @throws DataError E_WEIGHTS_UNSUPPORTED where it is not of floats
 */
export function weightSource(name: string, parts: readonly ExternalTensor[], where: string): WeightSource {
  for (const part of parts)
    if (!isFloat(part))
      throw new DataError(`tensor ${name} is of type ${part.dtype}, and mm reads weights that are floats`, {
        code: 'E_WEIGHTS_UNSUPPORTED',
        where,
        fix: 'convert the weights from before quantization, in 16 or 32 bits',
      });
  const rest = (parts[0]?.shape ?? []).slice(1);
  const isNarrowed = parts.some(({ dtype }) => dtype === 'float64');
  const isJoined = parts.length > 1;
  return {
    dtype: storedType(parts),
    shape: isJoined
      ? [parts.reduce((sum, { shape }) => sum + (shape[0] ?? 1), 0), ...rest]
      : (parts[0]?.shape ?? []),
    data: () => joined(parts),
    ...(isNarrowed && { isNarrowed }),
  };
}

/** A tensor whose shape is not one of the layout stays as it is: it does not match the configuration then. */
function arranged(source: TensorSource, layout: Layout): TensorSource {
  const rule = layoutRule(layout);
  const shape = rule?.rank === source.shape.length ? rule.ours(source.shape) : undefined;
  if (!rule || !shape) return source;
  if (!rule.outputs) return { ...source, shape };
  const read = source.data as () => ReturnType<typeof joined>;
  return { ...source, shape, data: async () => moveOutputs(await read(), source.shape, 'last') };
}

export interface Renamed {
  /** By our names, the tensors of the rules whose external tensors exist. */
  readonly found: Map<string, TensorSource>;
  /** By their external names, the tensors that no rule reads. */
  readonly unknown: StateDict;
}

/** @throws DataError when a tensor that a rule reads is not of floats */
export function rename(tensors: StateDict, rules: readonly Rule[], where: string): Renamed {
  const found = new Map<string, TensorSource>();
  for (const rule of rules) {
    const [ours, , layout, rows] = rule;
    const names = namesOf(rule);
    const parts = names.flatMap((name) => tensors.get(name) ?? []);
    if (parts.length < names.length) continue;
    const wanted = parts.flatMap((part) => rows?.map((range) => part.rows(...range)) ?? part);
    found.set(ours, arranged(weightSource(names.join(', '), wanted, where), layout));
  }
  const used = new Set(externalNames(rules));
  return { found, unknown: new Map([...tensors].filter(([name]) => !used.has(name))) };
}

const MAX_NAMED = 3;

export interface Exactly {
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** External names of tensors beside them that cannot be weights, since they are not of floats that mm reads. */
  readonly inert: readonly string[];
  /** Tensors beside them that carry nothing to learn. */
  readonly beside: StateDict;
}

/**
 * Renames tensors that have to be exactly those of `spec`, with messages in the external names.
 * @param unused names that carry nothing to learn
 * @param model with its article, for messages: `a CLIP` without it
 * @throws DataError when one is missing, unknown, or of another shape than the configuration gives it
 */
export function renameExactly(
  tensors: StateDict,
  rules: readonly Rule[],
  spec: SpecTree,
  where: string,
  unused: RegExp,
  model?: string,
): Exactly {
  for (const name of externalNames(rules))
    if (!tensors.has(name)) throw misfit(`${name} is missing`, where, model);
  const { found, unknown } = rename(tensors, rules, where);
  const shapes = new Map(flatten(spec).map(([name, { shape }]) => [name, shape]));
  for (const rule of rules) {
    const [ours] = rule;
    const names = namesOf(rule).join(', ');
    const shape = shapes.get(ours);
    const theirs = tensors.get(namesOf(rule)[0] as string)?.shape ?? [];
    if (!shape) throw misfit(`${names} has no place`, where, model);
    if (found.get(ours)?.shape.join() !== shape.join())
      throw misfit(`${names} is [${theirs}], the configuration makes ${ours} [${shape}]`, where, model);
  }
  const isUnused = ([name]: readonly [string, ExternalTensor]): boolean => unused.test(name);
  const others = [...unknown].filter((entry) => !isUnused(entry));
  const extra = others.flatMap(([name, tensor]) => (isFloat(tensor) ? [name] : []));
  if (extra.length > 0) {
    const rest = extra.length > MAX_NAMED ? ` and ${extra.length - MAX_NAMED} more` : '';
    throw misfit(`${extra.slice(0, MAX_NAMED).join(', ')}${rest} unknown`, where, model);
  }
  return {
    tensors: found,
    inert: others.map(([name, { dtype }]) => `${name} (${dtype})`),
    beside: new Map([...unknown].filter(isUnused)),
  };
}
