// Resampling along one axis as Pillow and torch's antialiased interpolation define it: each output is a weighted mean of
// the inputs around its centre; the kernel widens with the reduction.

/** Kernel and half of its width. */
interface Kernel {
  readonly support: number;
  readonly at: (x: number) => number;
}

/** Keys' cubic convolution with a = −1/2 (Pillow, BICUBIC), and the triangle. */
const KERNELS = {
  bicubic: {
    support: 2,
    at: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0),
  },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - x) },
} as const satisfies Record<string, Kernel>;

/** The inputs of one output: the first of them, and their weights, which sum to 1. */
export interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

/** Taps of the output `index` where `from` samples become `to`. */
export function tapsOf(index: number, from: number, to: number, kernel: keyof typeof KERNELS): Taps {
  const { support, at } = KERNELS[kernel];
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const center = (index + 0.5) * scale;
  const first = Math.max(0, Math.trunc(center - support * stretch + 0.5));
  const end = Math.min(from, Math.trunc(center + support * stretch + 0.5));
  const weights = Array.from({ length: end - first }, (_, i) =>
    at(Math.abs((first + i - center + 0.5) / stretch)),
  );
  const sum = weights.reduce((a, b) => a + b, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}
