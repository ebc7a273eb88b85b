// Threads inside an op of libtensorflow: their number, which affects the last bits of large sums, and whether the
// calling thread takes part. libtensorflow reads both environment variables at first use.

import { availableParallelism } from 'node:os';
import { oneDnnTakesAvx512 } from '../native/processor.ts';

const COUNT = 'TF_NUM_INTRAOP_THREADS';
const CALLER_TOO = 'TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD';
const OWN_THREADS = 'TF_OVERRIDE_GLOBAL_THREADPOOL';

/**
 * What one thread has multiplied before another one is awake, about 0.1 ms; the elements of a matrix that it has read by
 * then, and of one that it keeps in its cache whatever it multiplies (docs/LOG.md).
 */
const MAX_BY_ONE = { products: 6e6, read: 2 ** 20, cached: 2 ** 17 };

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
 * Whether one thread inside an op makes the products of few rows sooner than two: measured on three processors, of which
 * that without AVX-512 is sooner with two for a single row. With more cores it was not measured.
 * @param rows multiplied at once
 * @param matrix elements of the largest matrix
 */
export function isSoonerByOneThread(rows: number, matrix: number): boolean {
  if (threadsInUse() !== 2 || (rows === 1 && !oneDnnTakesAvx512())) return false;
  const { products, read, cached } = MAX_BY_ONE;
  return matrix <= cached || (matrix <= read && rows * matrix <= products);
}

/**
 * Gives each session separate threads inside an op, as many as it asks for; otherwise all have those of the first one.
 * Call it before the first session.
 */
export function useOwnThreads(): void {
  process.env[OWN_THREADS] ??= '1';
}
