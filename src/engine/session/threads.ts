// The threads that an op of libtensorflow uses: how many, on which sums over many numbers depend in their last bits, and
// whether the one that runs it is among them. libtensorflow reads both when it is first used.

import { availableParallelism } from 'node:os';

const COUNT = 'TF_NUM_INTRAOP_THREADS';
const CALLER_TOO = 'TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD';

export const threadsInUse = (): number => Number(process.env[COUNT]) || availableParallelism();

/** To be called before anything is computed. */
export function useThreads(count: number): void {
  process.env[COUNT] = String(count);
}

/**
 * oneDNN's products are shared out to other threads while the one that runs the op waits; from now on it takes its part.
 * This pays where one op runs at a time, and costs where several do. To be called before anything is computed.
 */
export function useCallingThread(): void {
  process.env[CALLER_TOO] ??= '1';
}
