// The layout of torch.save before 1.6: five pickles in a row (a magic number, a version, the machine's sizes, the
// object, the keys of the storages), then each storage as a count of eight bytes and its elements.

import type { FileHandle } from 'node:fs/promises';
import { bytesPerElement } from '../../checkpoint/dtype.ts';
import { readFully } from '../../checkpoint/read-fully.ts';
import { DataError } from '../../util/errors.ts';
import type { PickleHost } from '../pickle/operations.ts';
import { readPickle } from '../pickle/read.ts';
import type { PickleValue } from '../pickle/values.ts';
import { damaged } from './archive.ts';
import type { Storages, TorchStorage } from './storage.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const COUNT_BYTES = 8;
/** The pickles of a file, names and settings, all in memory. */
const MAX_PICKLE_BYTES = 2 ** 26;

const cutShort =
  (where: string) =>
  (place: number): Error =>
    damaged(`it ends at byte ${place}`, where);

export interface LegacyContents {
  readonly value: PickleValue;
  /** Where the elements of each storage begin. */
  readonly places: ReadonlyMap<string, number>;
}

/** Reads the object and finds the storages' places. Throws DataError. */
export async function readLegacy(
  file: FileHandle,
  host: PickleHost,
  storages: Storages,
  where: string,
): Promise<LegacyContents> {
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, MAX_PICKLE_BYTES));
  await readFully(file, head, 0, cutShort(where));
  let position = 0;
  const next = (): PickleValue => {
    const { value, end } = readPickle(head, host, where, position);
    position = end;
    return value;
  };
  const isTorch = next() === MAGIC;
  if (!isTorch || next() !== VERSION) {
    throw new DataError('a pickle, but not one that torch.save wrote', {
      code: 'E_NOT_TORCH',
      where,
      fix: 'in Python, save the weights: torch.save(model.state_dict(), "weights.pt")',
    });
  }
  const machine = next();
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new DataError('the file was written on a big-endian machine', {
      code: 'E_TORCH_BYTE_ORDER',
      where,
      fix: 'write it again on another',
    });
  }
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw damaged('it does not list its storages', where);
  const places = new Map<string, number>();
  const count = Buffer.alloc(COUNT_BYTES);
  for (const key of keys) {
    const storage = storages.get(String(key));
    if (!storage) throw damaged(`it lists storage ${String(key)}, which no tensor uses`, where);
    await readFully(file, count, position, cutShort(where));
    if (count.readBigInt64LE() !== BigInt(storage.count)) {
      throw damaged(
        `storage ${storage.key} has ${count.readBigInt64LE()} elements, not ${storage.count}`,
        where,
      );
    }
    places.set(storage.key, position + COUNT_BYTES);
    position += COUNT_BYTES + storage.count * bytesPerElement(storage.dtype);
  }
  if (position > size) throw damaged(`it has ${size} bytes of ${position}`, where);
  return { value, places };
}

/** The elements of a storage. Throws DataError when the file lacks it. */
export async function readLegacyStorage(
  file: FileHandle,
  { places }: LegacyContents,
  storage: TorchStorage,
  where: string,
): Promise<ArrayBuffer> {
  const place = places.get(storage.key);
  if (place === undefined) throw damaged(`it lacks storage ${storage.key}`, where);
  const content = new Uint8Array(storage.bytes);
  await readFully(file, content, place, cutShort(where));
  return content.buffer;
}
