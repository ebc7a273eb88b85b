// Rules that rename the tensors of PyTorch programs. A rule names one parameter of ours, the tensor it is read from,
// and the layout of that tensor; the rules of each model are in names.ts of its folder.

import type { TensorSource } from '../checkpoint/safetensors.ts';
import { weightSource } from './external.ts';
import type { StateDict } from './torch/state-dict.ts';
import type { TorchTensor } from './torch/tensor.ts';

/** Axes of a tensor of PyTorch in our order. Axes that are left out have size 1. */
const LAYOUTS = {
  plain: undefined,
  /** [out, in] → [in, out] */
  linear: { rank: 2, axes: [1, 0] },
  /** [out, in, height, width] → [height, width, in, out]; transposed convolutions have in and out exchanged. */
  kernel: { rank: 4, axes: [2, 3, 1, 0] },
  /** [1, rows, 1, channels] → [rows, channels] */
  row: { rank: 4, axes: [1, 3] },
  /** [1, 1, columns, channels] → [columns, channels] */
  column: { rank: 4, axes: [2, 3] },
  /** [1, 1, channels] → [channels] */
  scale: { rank: 3, axes: [2] },
} as const;

export type Layout = keyof typeof LAYOUTS;

/** Our name, the external name, the layout there and, for a part of a tensor, its rows. */
export type Rule = readonly [
  ours: string,
  theirs: string,
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

/** A tensor whose shape is not one of the layout stays as it is: it does not match the configuration then. */
function arrange(tensor: TorchTensor, layout: Layout): TorchTensor {
  const order = LAYOUTS[layout];
  if (order === undefined || tensor.shape.length !== order.rank) return tensor;
  const axes: readonly number[] = order.axes;
  return tensor.shape.every((size, axis) => size === 1 || axes.includes(axis))
    ? tensor.permute(...axes)
    : tensor;
}

export interface Renamed {
  /** By our names, the tensors of the rules whose external tensor exists. */
  readonly found: Map<string, TensorSource>;
  /** By their external names, the tensors that no rule reads. */
  readonly unknown: StateDict;
}

/** @throws DataError when a tensor that a rule reads has integers */
export function rename(tensors: StateDict, rules: readonly Rule[], where: string): Renamed {
  const found = new Map<string, TensorSource>();
  for (const [ours, theirs, layout, rows] of rules) {
    const tensor = tensors.get(theirs);
    if (tensor === undefined) continue;
    const part = rows === undefined ? tensor : tensor.rows(...rows);
    found.set(ours, weightSource(theirs, arrange(part, layout), where));
  }
  const used = new Set(rules.map(([, theirs]) => theirs));
  return { found, unknown: new Map([...tensors].filter(([name]) => !used.has(name))) };
}
