// The layout of torch.save before 1.6: five pickles (magic number, version, sizes of the machine, object, keys of the
// storages), then for each storage its number of elements, in 8 bytes, and the elements.

import type { FileHandle } from 'node:fs/promises';
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
/** Limit of the pickles, which are read into memory whole. */
const MAX_PICKLE_BYTES = 2 ** 26;

const truncated =
  (where: string) =>
  (position: number): Error =>
    damaged(`it ends at byte ${position}`, where);

export interface LegacyContents {
  readonly value: PickleValue;
  /** Position of the first element of each storage. */
  readonly positions: ReadonlyMap<string, number>;
}

/** Reads the object and the positions of the storages. Throws DataError. */
export async function readLegacy(
  file: FileHandle,
  host: PickleHost,
  storages: Storages,
  where: string,
): Promise<LegacyContents> {
  const { size } = await file.stat();
  const head = Buffer.alloc(Math.min(size, MAX_PICKLE_BYTES));
  await readFully(file, head, 0, truncated(where));
  let position = 0;
  const next = (): PickleValue => {
    const { value, end } = readPickle(head, host, where, position);
    position = end;
    return value;
  };
  const isTorch = next() === MAGIC;
  if (!isTorch || next() !== VERSION) {
    throw new DataError('torch.save did not write this pickle', {
      code: 'E_NOT_TORCH',
      where,
      fix: 'save the weights in Python: torch.save(model.state_dict(), "weights.pt")',
    });
  }
  const machine = next();
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new DataError('the file was written on a big-endian machine', {
      code: 'E_TORCH_BYTE_ORDER',
      where,
      fix: 'save it again on a little-endian machine',
    });
  }
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw damaged('it has no list of storages', where);
  const positions = new Map<string, number>();
  const count = Buffer.alloc(COUNT_BYTES);
  for (const key of keys) {
    const storage = storages.get(String(key));
    if (!storage) throw damaged(`it lists storage ${String(key)}, which no tensor uses`, where);
    await readFully(file, count, position, truncated(where));
    if (count.readBigInt64LE() !== BigInt(storage.count)) {
      throw damaged(
        `storage ${storage.key} has ${count.readBigInt64LE()} elements, not ${storage.count}`,
        where,
      );
    }
    positions.set(storage.key, position + COUNT_BYTES);
    position += COUNT_BYTES + storage.bytes;
  }
  if (position > size) throw damaged(`it has ${size} of ${position} bytes`, where);
  return { value, positions };
}

/** The elements of a storage. Throws DataError E_FILE_DAMAGED. */
export async function readLegacyStorage(
  file: FileHandle,
  { positions }: LegacyContents,
  storage: TorchStorage,
  where: string,
): Promise<ArrayBuffer> {
  const position = positions.get(storage.key);
  if (position === undefined) throw damaged(`it has no storage ${storage.key}`, where);
  const content = new Uint8Array(storage.bytes);
  await readFully(file, content, position, truncated(where));
  return content.buffer;
}
