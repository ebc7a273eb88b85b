// Features of images kept on disk, by the content of the file, one store for each CLIP: records of the content's
// SHA-256 and the feature, appended.

import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { storageError } from '../../util/files.ts';

const HASH_BYTES = 32;
/** Records read at a time while the store is opened. */
const READ_AT_ONCE = 2 ** 12;

export class EmbeddingCache {
  readonly #file: FileHandle;
  readonly #width: number;
  /** Where the feature of each content begins. */
  readonly #places: ReadonlyMap<string, number>;
  /** What was appended since the store was opened. */
  readonly #added = new Map<string, Float32Array>();

  private constructor(file: FileHandle, width: number, places: Map<string, number>) {
    this.#file = file;
    this.#width = width;
    this.#places = places;
  }

  /**
   * Opens the store of a CLIP in `folder`; a record that was cut short is taken off.
   * @param model identifies the weights
   * @param width of a feature
   */
  static async open(folder: string, model: string, width: number): Promise<EmbeddingCache> {
    const path = join(folder, `${model}-${width}.features`);
    let file: FileHandle | undefined;
    try {
      await mkdir(folder, { recursive: true });
      file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o644);
      const record = HASH_BYTES + width * 4;
      const { size } = await file.stat();
      const whole = size - (size % record);
      if (whole < size) await file.truncate(whole);
      const places = new Map<string, number>();
      const buffer = Buffer.alloc(record * READ_AT_ONCE);
      for (let start = 0; start < whole; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, whole - start), start);
        const read = bytesRead - (bytesRead % record);
        if (read === 0) break;
        for (let at = 0; at < read; at += record)
          places.set(buffer.toString('hex', at, at + HASH_BYTES), start + at + HASH_BYTES);
        start += read;
      }
      return new EmbeddingCache(file, width, places);
    } catch (error) {
      await file?.close();
      throw storageError(error, path);
    }
  }

  /** The feature of a content by its SHA-256 in hexadecimal; undefined when it is not there, or is no feature. */
  async get(hash: string): Promise<Float32Array | undefined> {
    const added = this.#added.get(hash);
    const place = this.#places.get(hash);
    if (added || place === undefined) return added;
    const feature = new Float32Array(this.#width);
    await this.#file.read(new Uint8Array(feature.buffer), 0, feature.byteLength, place);
    const length = Math.hypot(...feature);
    return Math.abs(length - 1) < 1e-3 ? feature : undefined;
  }

  /** Appends features. Those of a content that is there already do not replace it. */
  async add(features: ReadonlyMap<string, Float32Array>): Promise<void> {
    const fresh = [...features].filter(([hash]) => !this.#places.has(hash) && !this.#added.has(hash));
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
