// The machine's ceilings, measured in the run that they are held against: floating-point operations a second of a large
// float32 product, and bytes a second of reading. The better of TensorFlow's and PyTorch's.

import { mmSide, pythonSide } from './bench.ts';
import { inTurn, spread, type Turn } from './in-turn.ts';

const SIZE = 2048;
const TURNS = { rounds: 5, steps: 3, warmup: 2 };

/** Seconds of the faster side's step, its median. */
async function fastest(what: 'product' | 'read', size: number): Promise<number> {
  const sides = [mmSide('ceilings-mm.ts', what, size), pythonSide('PyTorch', 'ceilings.py', what, size)];
  const turns: Record<string, Turn[]> = await inTurn(sides, TURNS);
  const medians = Object.values(turns).map(
    (own) => spread(own.slice(1).flatMap(({ milliseconds }) => milliseconds)).median,
  );
  return Math.min(...medians) / 1000;
}

/** Floating-point operations a second. */
export const peakFlops = async (): Promise<number> => (2 * SIZE ** 3) / (await fastest('product', SIZE));

/** Bytes a second, read from as many bytes as a token reads: what fits a cache is read from there on both sides. */
export const readRate = async (bytes: number): Promise<number> => bytes / (await fastest('read', bytes));
