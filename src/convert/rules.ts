// Rules that rename the tensors of PyTorch programs: one kind for all models. A rule names one parameter of ours, the
// tensor or tensors it is read from, and their layout; the rules of each model are in names.ts of its folder.

import type { TensorSource } from '../checkpoint/safetensors.ts';
import { flatten, type SpecTree } from '../nn/parameters.ts';
import { DataError } from '../util/errors.ts';
import {
  type ExternalTensor,
  isFloat,
  joined,
  misfit,
  outputsLast,
  type StateDict,
  storedType,
} from './tensors.ts';

interface LayoutRule {
  readonly rank: number;
  /** Whether the first axis, of outputs, becomes the last one. */
  readonly outputs?: boolean;
  /** Our shape of theirs; undefined where theirs is not of this layout. */
  readonly shape: (theirs: readonly number[]) => readonly number[] | undefined;
}

/** The axes `kept`, where the others have size 1. */
const squeezed =
  (...kept: readonly number[]) =>
  (theirs: readonly number[]): readonly number[] | undefined =>
    theirs.every((size, axis) => size === 1 || kept.includes(axis))
      ? kept.map((axis) => theirs[axis] as number)
      : undefined;

const LAYOUTS = {
  plain: undefined,
  /** [out, in] → [in, out] */
  linear: { rank: 2, outputs: true, shape: ([o = 0, i = 0]) => [i, o] },
  /** [out, in, height, width] → [height, width, in, out]; transposed convolutions have in and out exchanged. */
  kernel: { rank: 4, outputs: true, shape: ([o = 0, i = 0, h = 0, w = 0]) => [h, w, i, o] },
  /** [out, in, height, width] → [height · width · in, out] */
  patch: { rank: 4, outputs: true, shape: ([o = 0, i = 0, h = 0, w = 0]) => [h * w * i, o] },
  /** [1, rows, 1, channels] → [rows, channels] */
  row: { rank: 4, shape: squeezed(1, 3) },
  /** [1, 1, columns, channels] → [columns, channels] */
  column: { rank: 4, shape: squeezed(2, 3) },
  /** [1, 1, channels] → [channels] */
  scale: { rank: 3, shape: squeezed(2) },
  /** [1, rows, channels] → [rows, channels] */
  table: { rank: 3, shape: squeezed(1, 2) },
  /** [1] → [] */
  scalar: { rank: 1, shape: squeezed() },
} as const satisfies Record<string, LayoutRule | undefined>;

export type Layout = keyof typeof LAYOUTS;

/** Our name; the external name, or several whose rows follow each other; the layout there; a part of their rows. */
export type Rule = readonly [
  ours: string,
  theirs: string | readonly string[],
  layout: Layout,
  rows?: readonly [start: number, count: number],
];

/** Weight and bias of a layer. */
export const layer = (
  ours: string,
  theirs: string,
  layout: Layout = 'linear',
  rows?: readonly [start: number, count: number],
): Rule[] => [
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

const namesOf = ([, theirs]: Rule): readonly string[] => (typeof theirs === 'string' ? [theirs] : theirs);

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
  const rule: LayoutRule | undefined = LAYOUTS[layout];
  const shape = rule?.rank === source.shape.length ? rule.shape(source.shape) : undefined;
  if (!rule || !shape) return source;
  if (!rule.outputs) return { ...source, shape };
  const read = source.data as () => ReturnType<typeof joined>;
  return { ...source, shape, data: async () => outputsLast(await read(), source.shape) };
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
    const wanted = rows === undefined ? parts : parts.map((part) => part.rows(...rows));
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
  const beside = [...unknown].filter(([name]) => !unused.test(name));
  const extra = beside.flatMap(([name, tensor]) => (isFloat(tensor) ? [name] : []));
  if (extra.length > 0) {
    const rest = extra.length > MAX_NAMED ? ` and ${extra.length - MAX_NAMED} more` : '';
    throw misfit(`${extra.slice(0, MAX_NAMED).join(', ')}${rest} unknown`, where, model);
  }
  return {
    tensors: found,
    inert: beside.map(([name, { dtype }]) => `${name} (${dtype})`),
  };
}
