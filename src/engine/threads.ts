// How many threads an op of libtensorflow may use. Sums over many numbers depend on it, in their last bits.

import { availableParallelism } from 'node:os';

/** libtensorflow reads it when it is first used. */
const VARIABLE = 'TF_NUM_INTRAOP_THREADS';

export const threadsInUse = (): number => Number(process.env[VARIABLE]) || availableParallelism();

/** To be called before anything is computed. */
export function useThreads(count: number): void {
  process.env[VARIABLE] = String(count);
}
