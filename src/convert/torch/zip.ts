// Zip archives of uncompressed entries, written one after the other, as torch.save lays them out: the data of each entry
// begins at a multiple of 64 bytes. Archives and entries past 4 GiB have the fields of Zip64.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.

import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

const ALIGNMENT = 64;
/** The largest value of a field of 32 bits says that the value is in the fields of Zip64. */
const MAX_32 = 0xffff_ffff;
const MAX_16 = 0xffff;
const SIGNATURE = {
  local: 0x04034b50,
  central: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
} as const;
const ZIP64_FIELD = 1;
/** The field that torch pads with: "FB". */
const PADDING_FIELD = 0x4246;
const VERSION_64 = 45;
const LOCAL_BYTES = 30;
const CRC_POSITION = 14;

interface WrittenEntry {
  readonly name: Buffer;
  readonly offset: number;
  readonly size: number;
  readonly crc: number;
}

/** An extra field of the numbers, of 64 bits each. */
function zip64Field(values: readonly number[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0);
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(ZIP64_FIELD, 0);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [i, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  return field;
}

function padding(start: number): Buffer {
  // At least its four bytes of head, so that the data is aligned.
  const length = (ALIGNMENT - ((start + 4) % ALIGNMENT)) % ALIGNMENT;
  const field = Buffer.alloc(4 + length, 'Z');
  field.writeUInt16LE(PADDING_FIELD, 0);
  field.writeUInt16LE(length, 2);
  return field;
}

export class ZipWriter {
  readonly #file: FileHandle;
  readonly #entries: WrittenEntry[] = [];
  #position = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /**
   * Writes an entry.
   * @param size bytes of all chunks together
   * @throws RangeError when the chunks are of another length
   */
  async add(name: string, size: number, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
    const bytes = Buffer.from(name, 'utf8');
    const offset = this.#position;
    const large = size >= MAX_32;
    const zip64 = zip64Field(large ? [size, size] : []);
    const extra = Buffer.concat([zip64, padding(offset + LOCAL_BYTES + bytes.length + zip64.length)]);
    const head = Buffer.alloc(LOCAL_BYTES);
    head.writeUInt32LE(SIGNATURE.local, 0);
    head.writeUInt16LE(large ? VERSION_64 : 0, 4);
    head.writeUInt32LE(large ? MAX_32 : size, 18);
    head.writeUInt32LE(large ? MAX_32 : size, 22);
    head.writeUInt16LE(bytes.length, 26);
    head.writeUInt16LE(extra.length, 28);
    await this.#append(Buffer.concat([head, bytes, extra]));
    const start = this.#position;
    let crc = 0;
    for await (const chunk of chunks) {
      crc = crc32(chunk, crc);
      await this.#append(chunk);
    }
    if (this.#position - start !== size)
      throw new RangeError(`${name} has ${this.#position - start} bytes, and ${size} were announced`);
    // The checksum stands before the data.
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE(crc);
    await this.#file.write(checksum, 0, 4, offset + CRC_POSITION);
    this.#entries.push({ name: bytes, offset, size, crc });
  }

  /** Writes the directory. */
  async finish(): Promise<void> {
    const start = this.#position;
    await this.#append(Buffer.concat(this.#entries.map(centralEntry)));
    const size = this.#position - start;
    const count = this.#entries.length;
    const isLarge = count >= MAX_16 || start >= MAX_32 || size >= MAX_32;
    if (isLarge) await this.#append(end64(count, size, start));
    const end = Buffer.alloc(22);
    end.writeUInt32LE(SIGNATURE.end, 0);
    end.writeUInt16LE(Math.min(count, MAX_16), 8);
    end.writeUInt16LE(Math.min(count, MAX_16), 10);
    end.writeUInt32LE(Math.min(size, MAX_32), 12);
    end.writeUInt32LE(Math.min(start, MAX_32), 16);
    await this.#append(end);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(MAX_WRITE_BYTES, bytes.length - done);
      const { bytesWritten } = await this.#file.write(bytes, done, length, this.#position);
      done += bytesWritten;
      this.#position += bytesWritten;
    }
  }
}
const MAX_WRITE_BYTES = 2 ** 26;

function centralEntry({ name, offset, size, crc }: WrittenEntry): Buffer {
  const extra = zip64Field([...(size >= MAX_32 ? [size, size] : []), ...(offset >= MAX_32 ? [offset] : [])]);
  const version = extra.length > 0 ? VERSION_64 : 0;
  const head = Buffer.alloc(46);
  head.writeUInt32LE(SIGNATURE.central, 0);
  head.writeUInt16LE(version, 4);
  head.writeUInt16LE(version, 6);
  head.writeUInt32LE(crc, 16);
  head.writeUInt32LE(Math.min(size, MAX_32), 20);
  head.writeUInt32LE(Math.min(size, MAX_32), 24);
  head.writeUInt16LE(name.length, 28);
  head.writeUInt16LE(extra.length, 30);
  head.writeUInt32LE(Math.min(offset, MAX_32), 42);
  return Buffer.concat([head, name, extra]);
}

/** The end of the directory with numbers of 64 bits, and the record that finds it. */
function end64(count: number, size: number, start: number): Buffer {
  const end = Buffer.alloc(56);
  end.writeUInt32LE(SIGNATURE.end64, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(VERSION_64, 12);
  end.writeUInt16LE(VERSION_64, 14);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(size), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(SIGNATURE.locator64, 0);
  locator.writeBigUInt64LE(BigInt(start + size), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([end, locator]);
}
