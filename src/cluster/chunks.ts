// Arrays as one long row of numbers: its slices, one for each worker, and their chunks, one for each frame.

import { CHUNK_LENGTH } from './frame.ts';

/** Parts of the arrays, in their order, of CHUNK numbers in all at most. */
export type Chunk = readonly Float32Array[];

/** What a worker sums up for all: from `begin` up to `end` of the row. */
export interface Slice {
  readonly begin: number;
  readonly end: number;
}

/** Slices of a row of `length` numbers, as equal as can be. */
export const slicesOf = (length: number, workers: number): Slice[] =>
  Array.from({ length: workers }, (_, rank) => ({
    begin: Math.floor((length * rank) / workers),
    end: Math.floor((length * (rank + 1)) / workers),
  }));

export const lengthOf = (arrays: readonly Float32Array[]): number =>
  arrays.reduce((sum, { length }) => sum + length, 0);

/** The chunks of a slice: views, so that what is written to them is written to the arrays. */
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

/** The smallest normal float32: TensorFlow's threads take what is smaller for 0. */
const LEAST = 2 ** -126;

/** sum += part, rounded to float32 as TensorFlow does it. */
export function addInPlace(sum: Float32Array, part: Float32Array): void {
  for (let i = 0; i < sum.length; i++) {
    const value = (sum[i] as number) + (part[i] as number);
    sum[i] = value < LEAST && value > -LEAST ? 0 : value;
  }
}
