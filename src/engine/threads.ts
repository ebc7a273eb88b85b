// How many threads an op of libtensorflow may use. Sums over many numbers depend on it, in their last bits.

import { availableParallelism } from 'node:os';

/** libtensorflow reads it when it is first used. */
const VARIABLE = 'TF_NUM_INTRAOP_THREADS';

export const threadsInUse = (): number => Number(process.env[VARIABLE]) || availableParallelism();

/** To be called before anything is computed. */
export function useThreads(count: number): void {
  process.env[VARIABLE] = String(count);
}

/**
 * oneDNN's products are shared out to other threads while the one that runs the op waits; from now on it takes its part.
 * This pays where one op runs at a time, and costs where several do. To be called before anything is computed.
 */
export function useCallingThread(): void {
  process.env.TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD ??= '1';
}
