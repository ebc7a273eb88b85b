// A WebDataset tar, written member by member: it has its name once it is whole and synced.

import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import tar from 'tar-stream';
import { makeFolder, storageError } from '../../util/files.ts';
import type { PackedShard } from './manifest.ts';

export class ShardWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #pack = tar.pack();
  readonly #hash: Hash = createHash('sha256');
  readonly #written: Promise<unknown>;
  #bytes = 0;
  images = 0;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#file = file;
    // An error is reported by the next `add` or by `finish`, not as one that nobody handles.
    this.#written = this.#write().catch((error: unknown) => error);
  }

  /** Throws DataError when no file can be written there. */
  static async open(path: string): Promise<ShardWriter> {
    const temporary = join(dirname(path), `.${basename(path)}.tmp`);
    try {
      makeFolder(dirname(path));
      return new ShardWriter(path, temporary, await open(temporary, 'w'));
    } catch (error) {
      throw storageError(error, path);
    }
  }

  async #write(): Promise<void> {
    for await (const chunk of this.#pack as AsyncIterable<Buffer>) {
      this.#hash.update(chunk);
      this.#bytes += chunk.length;
      await this.#file.writeFile(chunk);
    }
  }

  /** Adds the files of an example. Throws DataError when the storage fails. */
  async add(stem: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
    for (const [extension, data] of Object.entries(files)) {
      const header = { name: `${stem}.${extension}`, mtime: new Date(0) };
      const added = new Promise<unknown>((resolve) => {
        this.#pack.entry(header, Buffer.from(data as Uint8Array), (error) => resolve(error ?? undefined));
      });
      // A failed write ends the stream, and `added` would never be told.
      await this.#throwing(Promise.race([added, this.#written]));
    }
    this.images++;
  }

  /** Completes the tar under its name. Throws DataError when the storage fails. */
  async finish(): Promise<PackedShard> {
    this.#pack.finalize();
    await this.#throwing(this.#written);
    try {
      await this.#file.sync();
      await this.#file.close();
      await rename(this.#temporary, this.#path);
    } catch (error) {
      throw storageError(error, this.#path);
    }
    return {
      file: basename(this.#path),
      images: this.images,
      bytes: this.#bytes,
      sha256: this.#hash.digest('hex'),
    };
  }

  /** Removes what was written. */
  async abandon(): Promise<void> {
    this.#pack.destroy();
    await this.#written;
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  async #throwing(result: Promise<unknown>): Promise<void> {
    const error = await result;
    if (error !== undefined) throw storageError(error, this.#path);
  }
}
