// MessagePack as Flax writes weights (flax.serialization.msgpack_serialize): nested maps whose leaves are arrays, each an
// extension of type 1 with its shape, its type and its bytes. Only the places of the bytes are kept: files have many GB.
// Nothing of it is executed, and no size in it is trusted.

import type { FileHandle } from 'node:fs/promises';
import { readFully } from '../../checkpoint/read-fully.ts';
import { DataError } from '../../util/errors.ts';

/** Bytes of the file. */
export interface Span {
  readonly at: number;
  readonly length: number;
}

/** An array: name of its NumPy type, and the places of its elements, row-major. */
export interface PlacedArray {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly spans: readonly Span[];
}

/** A value: arrays are placed, byte strings are only their places. */
export type Value = null | boolean | number | string | Span | PlacedArray | Value[] | Map<string, Value>;

const ARRAY = 1;
const WINDOW = 2 ** 16;
const MAX_DEPTH = 32;
const MAX_VALUES = 1_000_000;
const MAX_TEXT = 2 ** 16;

export const isArray = (value: Value | undefined): value is PlacedArray =>
  value !== null && typeof value === 'object' && 'spans' in value;

const isSpan = (value: Value | undefined): value is Span =>
  value !== null && typeof value === 'object' && 'length' in value && !Array.isArray(value);

export class MessagePackReader {
  readonly #file: FileHandle;
  readonly #where: string;
  readonly #size: number;
  #at = 0;
  #values = 0;
  #window = Buffer.alloc(0);
  #windowAt = 0;

  constructor(file: FileHandle, size: number, where: string) {
    this.#file = file;
    this.#size = size;
    this.#where = where;
  }

  /** The value that the file holds. @throws DataError E_FILE_DAMAGED */
  async read(): Promise<Value> {
    const value = await this.#value(0);
    if (this.#at !== this.#size) throw this.#damaged(`${this.#size - this.#at} bytes follow its end`);
    return value;
  }

  #damaged(what: string): DataError {
    return new DataError(`not a sound file of Flax: ${what}`, {
      code: 'E_FILE_DAMAGED',
      where: this.#where,
      fix: 'fetch the file again',
    });
  }

  /** The next `length` bytes, few of them. */
  async #take(length: number): Promise<Buffer> {
    this.#assertInside(length);
    const begin = this.#at - this.#windowAt;
    if (begin < 0 || begin + length > this.#window.length) {
      this.#window = Buffer.alloc(Math.min(Math.max(WINDOW, length), this.#size - this.#at));
      this.#windowAt = this.#at;
      await readFully(this.#file, this.#window, this.#at, () => this.#damaged('it ends too early'));
    }
    const from = this.#at - this.#windowAt;
    this.#at += length;
    return this.#window.subarray(from, from + length);
  }

  #skip(length: number): Span {
    this.#assertInside(length);
    const span = { at: this.#at, length };
    this.#at += length;
    return span;
  }

  #assertInside(length: number): void {
    if (length > this.#size - this.#at)
      throw this.#damaged(`a value of ${length} bytes begins ${this.#size - this.#at} bytes before its end`);
  }

  async #unsigned(bytes: 1 | 2 | 4 | 8): Promise<number> {
    const taken = await this.#take(bytes);
    return bytes === 8 ? Number(taken.readBigUInt64BE()) : taken.readUIntBE(0, bytes);
  }

  async #signed(bytes: 1 | 2 | 4 | 8): Promise<number> {
    const taken = await this.#take(bytes);
    return bytes === 8 ? Number(taken.readBigInt64BE()) : taken.readIntBE(0, bytes);
  }

  async #text(length: number): Promise<string> {
    if (length > MAX_TEXT) throw this.#damaged(`a name of ${length} bytes`);
    return (await this.#take(length)).toString('utf8');
  }

  /** Types by their first byte, as the specification of MessagePack lists them. */
  async #value(depth: number): Promise<Value> {
    if (depth > MAX_DEPTH || ++this.#values > MAX_VALUES) throw this.#damaged('it is nested without end');
    const type = await this.#unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f, depth);
    if (type < 0xa0) return this.#list(type & 0x0f, depth);
    if (type < 0xc0) return this.#text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    const width = (first: number): 1 | 2 | 4 | 8 => (2 ** (type - first)) as 1 | 2 | 4 | 8;
    if (type === 0xc0) return null;
    if (type === 0xc2 || type === 0xc3) return type === 0xc3;
    if (type >= 0xc4 && type <= 0xc6) return this.#skip(await this.#unsigned(width(0xc4)));
    if (type >= 0xc7 && type <= 0xc9) return this.#extension(await this.#unsigned(width(0xc7)), depth);
    if (type === 0xca) return (await this.#take(4)).readFloatBE();
    if (type === 0xcb) return (await this.#take(8)).readDoubleBE();
    if (type >= 0xcc && type <= 0xcf) return this.#unsigned(width(0xcc));
    if (type >= 0xd0 && type <= 0xd3) return this.#signed(width(0xd0));
    if (type >= 0xd4 && type <= 0xd8) return this.#extension(2 ** (type - 0xd4), depth);
    if (type >= 0xd9 && type <= 0xdb) return this.#text(await this.#unsigned(width(0xd9)));
    if (type === 0xdc || type === 0xdd) return this.#list(await this.#unsigned(width(0xdb)), depth);
    if (type === 0xde || type === 0xdf) return this.#map(await this.#unsigned(width(0xdd)), depth);
    throw this.#damaged(`a value of type ${type}`);
  }

  async #list(count: number, depth: number): Promise<Value[]> {
    const values: Value[] = [];
    for (let i = 0; i < count; i++) values.push(await this.#value(depth + 1));
    return values;
  }

  async #map(count: number, depth: number): Promise<Map<string, Value> | PlacedArray> {
    const map = new Map<string, Value>();
    for (let i = 0; i < count; i++) {
      const key = await this.#value(depth + 1);
      if (typeof key !== 'string') throw this.#damaged('a key is not a text');
      map.set(key, await this.#value(depth + 1));
    }
    return map.has('__msgpack_chunked_array__') ? this.#joined(map) : map;
  }

  /** Flax divides arrays above 1 GiB. */
  #joined(map: ReadonlyMap<string, Value>): PlacedArray {
    const inOrder = (value: Value | undefined): Value[] =>
      value instanceof Map
        ? [...value].toSorted(([a], [b]) => Number(a) - Number(b)).map(([, each]) => each)
        : [];
    const chunks = inOrder(map.get('chunks')).filter(isArray);
    const spans = chunks.flatMap((chunk) => chunk.spans);
    return { dtype: chunks[0]?.dtype ?? '', shape: this.#shapeOf(inOrder(map.get('shape'))), spans };
  }

  #shapeOf(value: Value | undefined): readonly number[] {
    const isSize = (size: Value): size is number => Number.isSafeInteger(size) && (size as number) >= 0;
    if (Array.isArray(value) && value.every(isSize)) return value;
    throw this.#damaged('an array without a shape');
  }

  async #extension(length: number, depth: number): Promise<Value> {
    const type = await this.#signed(1);
    const end = this.#at + length;
    if (type !== ARRAY) return this.#skip(length);
    const value = await this.#value(depth + 1);
    const [shape, dtype, bytes] = Array.isArray(value) ? value : [];
    if (this.#at !== end || typeof dtype !== 'string' || !isSpan(bytes))
      throw this.#damaged('an array is not one');
    return { dtype, shape: this.#shapeOf(shape), spans: [bytes] };
  }
}
