// The zip archive of torch.save since 1.6 and of TorchScript: entries under one folder, stored without compression, so
// that no entry can be larger than the file.

import { crc32 } from 'node:zlib';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { DataError } from '../../util/errors.ts';

/** More entries than any model has tensors. */
const MAX_ENTRIES = 1_000_000;

export function damaged(what: string, where: string, cause?: unknown): DataError {
  return new DataError(`the file is cut short or damaged: ${what}`, {
    code: 'E_FILE_DAMAGED',
    where,
    fix: 'fetch or copy it again, and compare its size with the original',
    cause,
  });
}

export class TorchArchive {
  readonly path: string;
  readonly #zip: ZipFile;
  /** By their names within the archive's folder. */
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(path: string, zip: ZipFile, entries: ReadonlyMap<string, Entry>) {
    this.path = path;
    this.#zip = zip;
    this.#entries = entries;
  }

  /** Reads the directory of the archive. The caller closes it. Throws DataError. */
  static async open(path: string): Promise<TorchArchive> {
    const zip = await openPromise(path, { autoClose: false }).catch((cause: Error) => {
      throw damaged(cause.message, path, cause);
    });
    try {
      if (zip.entryCount > MAX_ENTRIES) throw damaged(`it claims ${zip.entryCount} entries`, path);
      const entries = new Map<string, Entry>();
      for await (const entry of zip.eachEntry()) {
        entries.set(entry.fileName.slice(entry.fileName.indexOf('/') + 1), entry);
      }
      return new TorchArchive(path, zip, entries);
    } catch (cause) {
      zip.close();
      throw cause instanceof DataError ? cause : damaged((cause as Error).message, path, cause);
    }
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /**
   * The content of an entry.
   * @param bytes its length, where that is known
   * @throws DataError when it is missing, of another length, compressed, or not what its checksum says
   */
  async read(name: string, bytes?: number): Promise<ArrayBuffer> {
    const entry = this.#entries.get(name);
    if (!entry) throw damaged(`it has no ${name}`, this.path);
    if (entry.compressionMethod !== 0 || entry.uncompressedSize > this.#zip.fileSize) {
      throw damaged(`its ${name} is compressed, which torch's files are not`, this.path);
    }
    const length = bytes ?? entry.uncompressedSize;
    if (entry.uncompressedSize !== length) {
      throw damaged(`its ${name} has ${entry.uncompressedSize} bytes, not ${length}`, this.path);
    }
    const content = new Uint8Array(length);
    let done = 0;
    let checksum = 0;
    try {
      for await (const chunk of await this.#zip.openReadStreamPromise(entry)) {
        content.set(chunk as Buffer, done);
        done += (chunk as Buffer).length;
        checksum = crc32(chunk as Buffer, checksum);
      }
    } catch (cause) {
      throw damaged((cause as Error).message, this.path, cause);
    }
    if (done !== length || checksum !== entry.crc32) {
      throw damaged(`its ${name} is not what the checksum says`, this.path);
    }
    return content.buffer;
  }

  close(): void {
    this.#zip.close();
  }
}
