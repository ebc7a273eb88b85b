// A record of each image on disk, for the few that are asked for again: memory has one number for many records.

import { type FileHandle, open } from 'node:fs/promises';
import { storageError } from '../../util/files.ts';
import { temporaryFile } from '../sources/spool.ts';

/** Records that are written and read at a time; fewer than these stay in memory. */
const BLOCK = 256;

/** Records, which JSON can have, by their number from 0. The file is gone when the program ends. */
export class RecordFile<T> {
  #path: string | undefined;
  #file: FileHandle | undefined;
  /** Where each block begins, then the end. */
  readonly #offsets: number[] = [0];
  #pending: string[] = [];

  get size(): number {
    return (this.#offsets.length - 1) * BLOCK + this.#pending.length;
  }

  /** @throws DataError when the disk is full */
  async add(record: T): Promise<void> {
    this.#pending.push(JSON.stringify(record));
    if (this.#pending.length < BLOCK) return;
    const block = Buffer.from(this.#pending.join('\n'));
    this.#path ??= temporaryFile();
    try {
      this.#file ??= await open(this.#path, 'wx+', 0o600);
      await this.#file.writeFile(block);
    } catch (error) {
      throw storageError(error, this.#path);
    }
    this.#offsets.push((this.#offsets.at(-1) as number) + block.length);
    this.#pending = [];
  }

  async get(number: number): Promise<T> {
    const block = Math.floor(number / BLOCK);
    const [start, end] = [this.#offsets[block] as number, this.#offsets[block + 1]];
    if (end === undefined) return JSON.parse(this.#pending[number % BLOCK] as string);
    const bytes = Buffer.alloc(end - start);
    await this.#file?.read(bytes, 0, bytes.length, start);
    return JSON.parse(bytes.toString('utf8').split('\n')[number % BLOCK] as string);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}
