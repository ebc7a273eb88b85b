// The checkpoint of a SavedModel (TensorBundle): the tensors one after the other, and an index of where each is, which is
// a sorted table of LevelDB's format.
// Source: tensorflow/core/util/tensor_bundle, tensorflow/core/protobuf/tensor_bundle.proto, and LevelDB's table_format.md.

import { widen } from '../../checkpoint/half.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { DT } from '../../engine/native/dtype.ts';
import { maskedCrc32c } from '../../util/crc32c.ts';
import { writeAtomically, writeFileAtomic } from '../../util/files.ts';
import { bytesField, fixed32Field, integerField, message, varint } from '../../util/protobuf.ts';
import type { WriteFile } from '../format.ts';
import { shapeProto } from './nodes.ts';

const HEADER = { shards: 1, endianness: 2, version: 3 } as const;
const ENTRY = { dtype: 1, shape: 2, shard: 3, offset: 4, size: 5, crc: 6 } as const;
const MAGIC = [0x8b80fb57, 0xdb477524] as const;
const FOOTER_BYTES = 48;
const TRAILER_BYTES = 5;

type Entry = readonly [key: string, value: Uint8Array];

const uint32 = (...numbers: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * i);
  return bytes;
};

/** A block of entries, each with its whole key, and its trailer: no compression, and a checksum. */
function block(entries: readonly Entry[]): Buffer {
  const restarts: number[] = [];
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [key, content] of entries) {
    const bytes = Buffer.from(key);
    const entry = Buffer.concat([varint(0), varint(bytes.length), varint(content.length), bytes, content]);
    restarts.push(at);
    parts.push(entry);
    at += entry.length;
  }
  if (restarts.length === 0) restarts.push(0);
  const body = Buffer.concat([...parts, uint32(...restarts, restarts.length), Buffer.of(0)]);
  return Buffer.concat([body, uint32(maskedCrc32c(body))]);
}

/** The table of the entries, which are sorted by key. */
export function sortedTable(entries: readonly Entry[]): Buffer {
  const data = block(entries);
  const meta = block([]);
  const handle = (offset: number, bytes: Buffer): Buffer =>
    Buffer.concat([varint(offset), varint(bytes.length - TRAILER_BYTES)]);
  const last = entries.at(-1)?.[0] ?? '';
  const index = block([[last, handle(0, data)]]);
  const handles = Buffer.concat([handle(data.length, meta), handle(data.length + meta.length, index)]);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.set(handles);
  footer.set(uint32(...MAGIC), FOOTER_BYTES - 8);
  return Buffer.concat([data, meta, index, footer]);
}

/**
 * The two files of a checkpoint of float32 tensors, by name; the data has to be written before the index.
 * @param tensors by key; 16-bit floats are widened
 */
export function bundleFiles(
  tensors: ReadonlyMap<string, TensorSource>,
): Record<'variables/variables.data-00000-of-00001' | 'variables/variables.index', WriteFile> {
  const sorted = [...tensors].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const entries: Entry[] = [];
  return {
    'variables/variables.data-00000-of-00001': (path) =>
      writeAtomically(path, async (file) => {
        let offset = 0;
        for (const [key, { dtype, shape, data }] of sorted) {
          const values = widen({ dtype, shape, data: typeof data === 'function' ? await data() : data }).data;
          const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
          await file.writeFile(bytes);
          const entry = message(
            integerField(ENTRY.dtype, DT.float32),
            bytesField(ENTRY.shape, shapeProto(shape)),
            integerField(ENTRY.shard, 0),
            integerField(ENTRY.offset, offset),
            integerField(ENTRY.size, bytes.length),
            fixed32Field(ENTRY.crc, maskedCrc32c(bytes)),
          );
          entries.push([key, entry]);
          offset += bytes.length;
        }
      }),
    'variables/variables.index': (path) => {
      const header = message(
        integerField(HEADER.shards, 1),
        integerField(HEADER.endianness, 0),
        bytesField(HEADER.version, integerField(1, 1)),
      );
      return writeFileAtomic(path, sortedTable([['', header], ...entries]));
    },
  };
}
