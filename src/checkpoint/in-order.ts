// All tensors of a safetensors file in one pass over it, from its first byte to its last. Tensors whose place in the file
// is mapped are not copied: their bytes go through a buffer, to be checked.

import type { FileHandle } from 'node:fs/promises';
import type { FilePlace } from '../engine/native/page-tensor.ts';
import { readAsAsked } from '../engine/native/read-advice.ts';
import { ELEMENT_TYPES, type TensorData, type TensorType } from './dtype.ts';
import { readFully } from './read-fully.ts';
import type { PlacedTensor } from './safetensors-header.ts';

/** Bytes of one read. */
const CHUNK_BYTES = 2 ** 24;

/** Reads that are under way while bytes are used: another core copies the next ones. */
const READS_AHEAD = 2;

/** A tensor to be filled, or one that maps its bytes in the file. */
export type Room = TensorData & { readonly isMapped?: boolean };

/** Makes a tensor of the bytes at `from`, where it has a place for it. */
export type Allocate = (dtype: TensorType, shape: readonly number[], from: FilePlace) => Room | undefined;

export interface Pass {
  readonly allocate?: Allocate | undefined;
  /**
   * Is given the file's bytes from its first to its last, those of a tensor before it is yielded. Without it, mapped
   * tensors are not read.
   */
  readonly onBytes?: ((bytes: Uint8Array) => void) | undefined;
}

/** An open file. */
export interface OpenFile {
  readonly handle: FileHandle;
  /** The bytes before the data. */
  readonly head: Uint8Array;
  readonly tensors: Iterable<readonly [name: string, tensor: PlacedTensor]>;
  /** The error to throw where it ends too early. */
  readonly endsEarly: () => Error;
}

/** A part of a tensor to read. */
interface Span {
  readonly name: string;
  readonly tensor: TensorData;
  /** Receives what is read. */
  readonly bytes: Uint8Array;
  /** Where it is in the file. */
  readonly position: number;
  readonly endsTensor: boolean;
}

/** A tensor to fill, and its bytes. */
export function roomFor(
  { dtype, shape, begin, end }: PlacedTensor,
  allocate: (...type: [dtype: TensorType, shape: readonly number[]]) => Room | undefined = () => undefined,
): { readonly tensor: Room; readonly bytes: Uint8Array } {
  const { array } = ELEMENT_TYPES[dtype];
  const own = (): Room => ({ dtype, shape, data: new array(new ArrayBuffer(end - begin)) });
  const tensor = allocate(dtype, shape) ?? own();
  const { buffer, byteOffset } = tensor.data;
  return { tensor, bytes: new Uint8Array(buffer, byteOffset, end - begin) };
}

/** Every tensor, in the order of the file. The next bytes are read while the last ones are used. */
export async function* tensorsInOrder(
  file: OpenFile,
  pass: Pass,
): AsyncGenerator<[name: string, tensor: TensorData]> {
  const { handle, head, endsEarly } = file;
  const spans = spansOf(file, pass);
  const reading: Promise<Span>[] = [];
  const readAhead = (): void => {
    while (reading.length < READS_AHEAD) {
      const { value: span } = spans.next();
      if (!span) return;
      const read = readFully(handle, span.bytes, span.position, endsEarly).then(() => span);
      read.catch(() => {}); // handled when its turn comes
      reading.push(read);
    }
  };
  readAsAsked(handle.fd);
  pass.onBytes?.(head);
  try {
    for (readAhead(); reading.length > 0; ) {
      const span = (await reading.shift()) as Span;
      readAhead();
      pass.onBytes?.(span.bytes);
      if (span.endsTensor) yield [span.name, span.tensor];
    }
  } finally {
    await Promise.allSettled(reading);
  }
}

function* spansOf(
  { handle, head, tensors }: OpenFile,
  { allocate, onBytes }: Pass,
): Generator<Span, undefined> {
  const buffers = buffersInTurn();
  const inOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  for (const [name, placed] of inOrder) {
    const first = head.length + placed.begin;
    const from = { descriptor: handle.fd, position: first };
    const { tensor, bytes } = roomFor(placed, (...type) => allocate?.(...type, from));
    const end = tensor.isMapped && !onBytes ? 0 : bytes.length;
    let start = 0;
    do {
      const length = Math.min(CHUNK_BYTES, end - start);
      const part = tensor.isMapped ? buffers(length) : bytes.subarray(start, start + length);
      const position = first + start;
      start += length;
      yield { name, tensor, bytes: part, position, endsTensor: start === end };
    } while (start < end);
  }
}

/** Buffers of a chunk at most, as many as are in use at a time, one after the other. */
function buffersInTurn(): (length: number) => Uint8Array {
  const buffers: Uint8Array[] = [];
  let turn = 0;
  return (length) => {
    buffers[turn] ??= new Uint8Array(CHUNK_BYTES);
    const buffer = buffers[turn] as Uint8Array;
    turn = (turn + 1) % (READS_AHEAD + 1);
    return buffer.subarray(0, length);
  };
}
