// Threads inside an op of libtensorflow: their number, which affects the last bits of large sums, and whether the
// calling thread takes part. libtensorflow reads both environment variables at first use.

import { availableParallelism } from 'node:os';
import { oneDnnTakesAvx512 } from '../native/processor.ts';

const COUNT = 'TF_NUM_INTRAOP_THREADS';
const CALLER_TOO = 'TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD';
const OWN_THREADS = 'TF_OVERRIDE_GLOBAL_THREADPOOL';

/** What one thread has multiplied before another one is awake, about 0.1 ms, and a matrix that it reads as fast. */
const MAX_BY_ONE = { products: 12e6, matrix: 2 ** 17 };

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

/**
 * Whether one thread inside an op makes the products of few rows sooner than two: measured on a processor with AVX-512,
 * on which it is so, and one with AVX2, on which it is not (docs/LOG.md). With more cores it was not measured.
 * @param rows multiplied at once
 * @param matrix elements of the largest matrix
 */
export const isSoonerByOneThread = (rows: number, matrix: number): boolean =>
  threadsInUse() === 2 &&
  oneDnnTakesAvx512() &&
  (rows * matrix <= MAX_BY_ONE.products || matrix <= MAX_BY_ONE.matrix);

/**
 * Gives each session separate threads inside an op, as many as it asks for; otherwise all have those of the first one.
 * Call it before the first session.
 */
export function useOwnThreads(): void {
  process.env[OWN_THREADS] ??= '1';
}
