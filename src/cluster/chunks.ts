// A list of arrays as one long vector: its slices, one for each worker, and their chunks, one for each frame.

import { CHUNK_LENGTH } from './frame.ts';

/** Views of consecutive parts of the arrays, CHUNK_LENGTH numbers in total at most. */
export type Chunk = readonly Float32Array[];

/** The part of the vector that one worker reduces: from `begin` up to `end`. */
export interface Slice {
  readonly begin: number;
  readonly end: number;
}

/** Splits a vector of `length` numbers into slices whose lengths differ by 1 at most. */
export const slicesOf = (length: number, workers: number): Slice[] =>
  Array.from({ length: workers }, (_, rank) => ({
    begin: Math.floor((length * rank) / workers),
    end: Math.floor((length * (rank + 1)) / workers),
  }));

export const lengthOf = (arrays: readonly Float32Array[]): number =>
  arrays.reduce((sum, { length }) => sum + length, 0);

/** The chunks of a slice, as views: writing to them writes to the arrays. */
export function* chunksOf(arrays: readonly Float32Array[], { begin, end }: Slice): Generator<Chunk> {
  let chunk: Float32Array[] = [];
  let room = CHUNK_LENGTH;
  let start = 0;
  for (const array of arrays) {
    let at = Math.max(begin - start, 0);
    const stop = Math.min(end - start, array.length);
    while (at < stop) {
      const part = array.subarray(at, Math.min(stop, at + room));
      chunk.push(part);
      at += part.length;
      room -= part.length;
      if (room > 0) continue;
      yield chunk;
      chunk = [];
      room = CHUNK_LENGTH;
    }
    start += array.length;
  }
  if (chunk.length > 0) yield chunk;
}

export const bytesOf = (chunk: Chunk): Uint8Array[] =>
  chunk.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));

/** The smallest normal float32. TensorFlow flushes smaller numbers to 0. */
const MIN_NORMAL = 2 ** -126;

/** sum += part, rounded to float32 as in TensorFlow. */
export function addInPlace(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) {
    const value = (sum[i] as number) + (part[i] as number);
    sum[i] = value < MIN_NORMAL && value > -MIN_NORMAL ? 0 : value;
  }
}
