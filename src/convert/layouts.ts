// How the programs of PyTorch lay out the tensors that mm has with inputs before outputs: the same table for reading
// them and for writing them.

import type { TensorArray } from '../checkpoint/dtype.ts';

interface LayoutRule {
  /** Axes there. */
  readonly rank: number;
  /** Whether the first axis, of outputs, becomes the last one. */
  readonly outputs?: boolean;
  /** Our shape of theirs; undefined where theirs is not of this layout. */
  readonly ours: (theirs: readonly number[]) => readonly number[] | undefined;
  /** Their shape of ours. */
  readonly theirs: (ours: readonly number[]) => readonly number[];
}

/** Axes `kept` of `rank`, where the others have size 1. */
const squeezed = (rank: number, ...kept: readonly number[]): LayoutRule => ({
  rank,
  ours: (theirs) =>
    theirs.every((size, axis) => size === 1 || kept.includes(axis))
      ? kept.map((axis) => theirs[axis] as number)
      : undefined,
  theirs: (ours) => Array.from({ length: rank }, (_, axis) => ours[kept.indexOf(axis)] ?? 1),
});

const COLOURS = 3;

export const LAYOUTS = {
  plain: undefined,
  /** [out, in] → [in, out] */
  linear: {
    rank: 2,
    outputs: true,
    ours: ([o = 0, i = 0]) => [i, o],
    theirs: ([i = 0, o = 0]) => [o, i],
  },
  /** [out, in, height, width] → [height, width, in, out]; transposed convolutions have in and out exchanged. */
  kernel: {
    rank: 4,
    outputs: true,
    ours: ([o = 0, i = 0, h = 0, w = 0]) => [h, w, i, o],
    theirs: ([h = 0, w = 0, i = 0, o = 0]) => [o, i, h, w],
  },
  /** [out, 3, side, side] → [side · side · 3, out], of the squares that an image is cut into */
  patch: {
    rank: 4,
    outputs: true,
    ours: ([o = 0, i = 0, h = 0, w = 0]) => [h * w * i, o],
    theirs: ([inputs = 0, o = 0]) => {
      const side = Math.round(Math.sqrt(inputs / COLOURS));
      return [o, COLOURS, side, side];
    },
  },
  /** [out, in, 1, 1] → [in, out] */
  point: {
    rank: 4,
    outputs: true,
    ours: ([o = 0, i = 0, h = 0, w = 0]) => [h * w * i, o],
    theirs: ([i = 0, o = 0]) => [o, i, 1, 1],
  },
  /** [1, rows, 1, channels] → [rows, channels] */
  row: squeezed(4, 1, 3),
  /** [1, 1, columns, channels] → [columns, channels] */
  column: squeezed(4, 2, 3),
  /** [1, 1, channels] → [channels] */
  scale: squeezed(3, 2),
  /** [1, rows, channels] → [rows, channels] */
  table: squeezed(3, 1, 2),
  /** [1] → []; of a scalar alone */
  scalar: { rank: 1, ours: (theirs) => (theirs[0] === 1 ? [] : undefined), theirs: () => [] },
} as const satisfies Record<string, LayoutRule | undefined>;

export type Layout = keyof typeof LAYOUTS;

export const layoutRule = (layout: Layout): LayoutRule | undefined => LAYOUTS[layout];

/** Rows of a block that stays in the processor's cache. */
const BLOCK = 32;

/**
 * [O, rest] → [rest, O] or back: of matrices, and of kernels [O, I, H, W] ↔ [H, W, I, O].
 * @param theirs the shape with the outputs first
 */
export function moveOutputs<T extends TensorArray>(
  data: T,
  theirs: readonly number[],
  to: 'last' | 'first',
): T {
  const [outputs, inputs, height = 1, width = 1] = theirs as [number, number, number?, number?];
  const area = height * width;
  const source = data as Float32Array;
  const result = new (data.constructor as Float32ArrayConstructor)(data.length);
  for (let begin = 0; begin < outputs; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, outputs);
    for (let i = 0; i < inputs; i++)
      for (let a = 0; a < area; a++)
        for (let o = begin; o < end; o++) {
          const first = (o * inputs + i) * area + a;
          const last = (a * inputs + i) * outputs + o;
          if (to === 'last') result[last] = source[first] as number;
          else result[first] = source[last] as number;
        }
  }
  return result as unknown as T;
}
