// A file of torch.save or TorchScript: its object as plain data, with tensors that are read on demand.

import { type FileHandle, open } from 'node:fs/promises';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { PickleFault } from '../pickle/fault.ts';
import type { PickleHost } from '../pickle/operations.ts';
import { readPickle } from '../pickle/read.ts';
import { nameOfKind, PickleGlobal, type PickleValue } from '../pickle/values.ts';
import { damaged, TorchArchive } from './archive.ts';
import { resolveTorchClass } from './classes.ts';
import { type LegacyContents, readLegacy, readLegacyStorage } from './legacy.ts';
import { STORAGE_TYPES, Storages } from './storage.ts';

const PICKLE = 'data.pkl';
const ZIP_MAGIC = 'PK';
const PICKLE_MAGIC = 0x80;

export class TorchFile {
  readonly path: string;
  readonly value: PickleValue;
  readonly #close: () => void | Promise<void>;

  private constructor(path: string, value: PickleValue, close: () => void | Promise<void>) {
    this.path = path;
    this.value = value;
    this.#close = close;
  }

  /**
   * Opens a file and reads everything except the elements of tensors. No code of the file runs. The caller closes it.
   * @throws DataError when torch did not write the file, it is damaged, or it names a class that weights do not need
   */
  static async open(path: string): Promise<TorchFile> {
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw readError(cause, path, 'file');
    });
    try {
      const magic = Buffer.alloc(2);
      const { bytesRead } = await file.read(magic, 0, 2, 0);
      if (magic.toString('latin1') === ZIP_MAGIC) {
        await file.close();
        return await TorchFile.#openArchive(path);
      }
      if (bytesRead > 0 && magic[0] === PICKLE_MAGIC) return await TorchFile.#openLegacy(path, file);
      throw new DataError(bytesRead === 0 ? 'the file is empty' : 'torch.save did not write this file', {
        code: 'E_NOT_TORCH',
        where: path,
        fix: 'give a .pt, .pth or .pkl file of torch.save',
      });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  static async #openArchive(path: string): Promise<TorchFile> {
    const archive = await TorchArchive.open(path);
    try {
      if (!archive.has(PICKLE)) {
        throw new DataError(`torch.save did not write this file: a zip archive without ${PICKLE}`, {
          code: 'E_NOT_TORCH',
          where: path,
          fix: 'give a .pt, .pth or .pkl file of torch.save',
        });
      }
      const order = archive.has('byteorder')
        ? Buffer.from(await archive.read('byteorder')).toString()
        : 'little';
      if (order !== 'little') {
        throw new DataError(`the file was written on a ${order}-endian machine`, {
          code: 'E_TORCH_BYTE_ORDER',
          where: path,
          fix: 'save it again on a little-endian machine',
        });
      }
      const storages = new Storages((storage) => archive.read(`data/${storage.key}`, storage.bytes));
      const bytes = new Uint8Array(await archive.read(PICKLE));
      const { value } = readPickle(bytes, hostOf(storages), `${path}, ${PICKLE}`);
      return new TorchFile(path, value, () => archive.close());
    } catch (error) {
      archive.close();
      throw error;
    }
  }

  static async #openLegacy(path: string, file: FileHandle): Promise<TorchFile> {
    let contents: LegacyContents | undefined;
    const storages = new Storages((storage) => {
      if (!contents) throw damaged('a tensor is read while the file is opened', path);
      return readLegacyStorage(file, contents, storage, path);
    });
    contents = await readLegacy(file, hostOf(storages), storages, path);
    return new TorchFile(path, contents.value, () => file.close());
  }

  async close(): Promise<void> {
    await this.#close();
  }
}

const hostOf = (storages: Storages): PickleHost => ({
  resolve: resolveTorchClass,
  persistent: (id) => persistent(id, storages),
});

/** ('storage', class, key, location, elements, …) or, in the older layout, ('module', class, file, source). */
function persistent(id: PickleValue, storages: Storages): PickleValue {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  if (kind === 'module' && type instanceof PickleGlobal) return type;
  const dtype = type instanceof PickleGlobal ? STORAGE_TYPES[type.name] : undefined;
  const isValid = typeof key === 'string' && Number.isSafeInteger(count) && (count as number) >= 0;
  if (kind !== 'storage' || dtype === undefined || !isValid) {
    throw new PickleFault(`it refers to ${nameOfKind(id)}, which is not a storage`);
  }
  if (Array.isArray(view))
    throw new PickleFault('a storage is a view of another storage, as written by torch before 0.4');
  return storages.declare(key, dtype, count as number);
}
