// A cache of CLIP features on disk, one file for each CLIP. Records are the SHA-256 of an image file's contents and its
// feature, appended.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, storageError } from '../../util/files.ts';

const HASH_BYTES = 32;
/** Records read at a time while the cache is opened. */
const RECORDS_PER_READ = 2 ** 12;

export class EmbeddingCache {
  readonly #file: FileHandle;
  readonly #width: number;
  /** Offset of each feature, by hash. */
  readonly #offsets: ReadonlyMap<string, number>;
  /** Features appended since the cache was opened. */
  readonly #added = new Map<string, Float32Array>();

  private constructor(file: FileHandle, width: number, offsets: Map<string, number>) {
    this.#file = file;
    this.#width = width;
    this.#offsets = offsets;
  }

  /**
   * Opens the cache of a CLIP in `folder`; an incomplete last record is removed.
   * @param model hash of the weights
   * @param width numbers in a feature
   */
  static async open(folder: string, model: string, width: number): Promise<EmbeddingCache> {
    const path = join(folder, `${model}-${width}.features`);
    let file: FileHandle | undefined;
    try {
      makeFolder(folder);
      file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o644);
      const record = HASH_BYTES + width * 4;
      const { size } = await file.stat();
      const end = size - (size % record);
      if (end < size) await file.truncate(end);
      const offsets = new Map<string, number>();
      const buffer = Buffer.alloc(record * RECORDS_PER_READ);
      for (let start = 0; start < end; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - start), start);
        const read = bytesRead - (bytesRead % record);
        if (read === 0) break;
        for (let at = 0; at < read; at += record)
          offsets.set(buffer.toString('hex', at, at + HASH_BYTES), start + at + HASH_BYTES);
        start += read;
      }
      return new EmbeddingCache(file, width, offsets);
    } catch (error) {
      await file?.close();
      throw storageError(error, path);
    }
  }

  /** The feature for the SHA-256, in hexadecimal, of a file's contents; undefined when absent or damaged. */
  async get(hash: string): Promise<Float32Array | undefined> {
    const added = this.#added.get(hash);
    const offset = this.#offsets.get(hash);
    if (added || offset === undefined) return added;
    const feature = new Float32Array(this.#width);
    await this.#file.read(new Uint8Array(feature.buffer), 0, feature.byteLength, offset);
    const length = Math.hypot(...feature);
    return Math.abs(length - 1) < 1e-3 ? feature : undefined;
  }

  /** Appends features by hash; hashes that are cached already are left as they are. */
  async add(features: ReadonlyMap<string, Float32Array>): Promise<void> {
    const fresh = [...features].filter(([hash]) => !this.#offsets.has(hash) && !this.#added.has(hash));
    if (fresh.length === 0) return;
    const records = fresh.flatMap(([hash, { buffer, byteOffset, byteLength }]) => [
      Buffer.from(hash, 'hex'),
      Buffer.from(buffer, byteOffset, byteLength),
    ]);
    await this.#file.appendFile(Buffer.concat(records));
    for (const [hash, feature] of fresh) this.#added.set(hash, feature);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
