// Safetensors files, written tensor by tensor and read by name: the whole file is never in memory.

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { DataError } from '../util/errors.ts';
import { readError, storageError } from '../util/files.ts';
import { type FileRecord, pieceChecksums, sha256 } from './checksum.ts';
import { ELEMENT_TYPES, type TensorArray, type TensorData } from './dtype.ts';
import { type Pass, roomFor, tensorsInOrder } from './in-order.ts';
import { readFully } from './read-fully.ts';
import {
  encodeHeader,
  type Header,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  malformed,
  type PlacedTensor,
  parseHeader,
  placeTensors,
  type TensorInfo,
  type UnreadableTensor,
} from './safetensors-header.ts';

/** Bytes of one write. */
const CHUNK_BYTES = 2 ** 24;

/** A tensor to write; a function is called when its data is written, so that not all tensors are in memory. */
export interface TensorSource extends TensorInfo {
  readonly data: TensorArray | (() => TensorArray | Promise<TensorArray>);
}

function bytesOf(name: string, { dtype, begin, end }: PlacedTensor, data: TensorArray): Uint8Array {
  if (!(data instanceof ELEMENT_TYPES[dtype].array) || data.byteLength !== end - begin) {
    throw new RangeError(`tensor ${name} needs ${end - begin} bytes of ${dtype}, got ${data.byteLength}`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Writes a safetensors file atomically; the data is not copied.
 * @throws DataError when the disk is full or read-only; RangeError when data and shape do not match
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, TensorSource]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<FileRecord> {
  const placements = placeTensors([...tensors]);
  const header = encodeHeader(
    placements.map(({ name, placed }) => [name, placed]),
    metadata,
  );
  const [hash, pieces] = [sha256(), pieceChecksums()];
  const temporary = `${path}.tmp`;
  let written = 0;
  try {
    const file = await open(temporary, 'w');
    const append = async (bytes: Uint8Array): Promise<void> => {
      for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
        const chunk = bytes.subarray(start, start + CHUNK_BYTES);
        hash.update(chunk);
        pieces.update(chunk);
        await file.writeFile(chunk);
        written += chunk.length;
      }
    };
    try {
      await append(header);
      for (const { name, source, placed } of placements) {
        const data = typeof source.data === 'function' ? await source.data() : source.data;
        await append(bytesOf(name, placed, data));
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw storageError(error, path);
  }
  return { bytes: written, sha256: hash.digest(), crc32: pieces.digest() };
}

/** The bytes before the data, which starts at `head.length`, and what they say. */
interface FileStart {
  readonly header: Header;
  readonly head: Uint8Array;
}

async function readHeader(file: FileHandle, where: string): Promise<FileStart> {
  const { size } = await file.stat();
  if (size < LENGTH_BYTES) throw malformed(`it has ${size} bytes`, where);
  const length = Buffer.alloc(LENGTH_BYTES);
  await readFully(file, length, 0, () => malformed('the file ends too early', where));
  const headerBytes = length.readBigUInt64LE();
  if (headerBytes > MAX_HEADER_BYTES) throw malformed(`its header claims ${headerBytes} bytes`, where);
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > size)
    throw malformed(`it has ${size} bytes, and its header alone claims ${dataStart}`, where);
  const head = Buffer.alloc(dataStart);
  await readFully(file, head, 0, () => malformed('the file ends too early', where));
  return { header: parseHeader(head.subarray(LENGTH_BYTES), size - dataStart, where), head };
}

/** An open safetensors file; only its header is in memory. */
export class SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: FileHandle;
  readonly #tensors: ReadonlyMap<string, PlacedTensor | UnreadableTensor>;
  readonly #head: Uint8Array;

  private constructor(path: string, file: FileHandle, { header, head }: FileStart) {
    this.path = path;
    this.metadata = header.metadata;
    this.#file = file;
    this.#tensors = header.tensors;
    this.#head = head;
  }

  /** Opens a file and checks its header; the caller closes it. Throws DataError. */
  static async open(path: string): Promise<SafetensorsFile> {
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw readError(cause, path, 'file');
    });
    try {
      if ((await file.stat()).isDirectory()) throw malformed('it is a folder', path);
      return new SafetensorsFile(path, file, await readHeader(file, path));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Names in the order of the header. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Throws DataError where the type is one that mm does not read. */
  info(name: string): TensorInfo {
    return this.#placed(name);
  }

  /** Type and shape; the type's code in the file where it is one that mm does not read. */
  description(name: string): { readonly dtype: string; readonly shape: readonly number[] } {
    const found = this.#tensors.get(name);
    return found && 'code' in found ? { dtype: found.code, shape: found.shape } : this.#placed(name);
  }

  /** Reads one tensor and nothing else. */
  async read(name: string): Promise<TensorData> {
    const placed = this.#placed(name);
    const { tensor, bytes } = roomFor(placed);
    await readFully(this.#file, bytes, this.#head.length + placed.begin, () => this.#endsEarly());
    return tensor;
  }

  /** Every tensor, in the order of the file. */
  inOrder(pass: Pass = {}): AsyncGenerator<[name: string, tensor: TensorData]> {
    const tensors = this.names.map((name) => [name, this.#placed(name)] as const);
    return tensorsInOrder(
      { handle: this.#file, head: this.#head, tensors, endsEarly: () => this.#endsEarly() },
      pass,
    );
  }

  #endsEarly(): DataError {
    return malformed('the file ends too early', this.path);
  }

  async readAll(): Promise<Map<string, TensorData>> {
    const all = new Map<string, TensorData>();
    for (const name of this.#tensors.keys()) all.set(name, await this.read(name));
    return all;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #placed(name: string): PlacedTensor {
    const placed = this.#tensors.get(name);
    if (placed === undefined) {
      throw new DataError(`the file has no tensor ${name}`, {
        code: 'E_TENSOR_MISSING',
        where: this.path,
        fix: 'use a file that has it',
      });
    }
    if ('code' in placed) {
      const known = Object.values(ELEMENT_TYPES).map((type) => type.code);
      throw new DataError(`tensor ${name} is of type ${placed.code}, which mm does not read`, {
        code: 'E_TENSOR_TYPE',
        where: this.path,
        fix: `use a file with tensors of ${known.join(', ')}`,
      });
    }
    return placed;
  }
}
