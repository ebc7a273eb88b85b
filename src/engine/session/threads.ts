// Threads inside an op of libtensorflow: their number, which affects the last bits of large sums, and whether the
// calling thread takes part. libtensorflow reads both environment variables at first use.

import { availableParallelism } from 'node:os';

const COUNT = 'TF_NUM_INTRAOP_THREADS';
const CALLER_TOO = 'TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD';

export const threadsInUse = (): number => Number(process.env[COUNT]) || availableParallelism();

/** Sets the number of threads inside an op. Call it before the first op. */
export function useThreads(count: number): void {
  process.env[COUNT] = String(count);
}

/**
 * Lets the thread that runs an op take part in oneDNN's matrix products instead of waiting for the other threads.
 * Faster where one op runs at a time, slower where several do. Call it before the first op.
 */
export function useCallingThread(): void {
  process.env[CALLER_TOO] ??= '1';
}
