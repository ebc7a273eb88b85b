// Reads bytes in order, and not past their end.

/** Fewer bytes are left than a read needs. */
export class EndOfBytes extends Error {}

export class Cursor {
  position = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Skips `count` bytes and returns the position of the first. */
  #skip(count: number): number {
    const start = this.position;
    if (!(count <= this.#bytes.length - start)) throw new EndOfBytes();
    this.position = start + count;
    return start;
  }

  take(count: number): Uint8Array {
    const start = this.#skip(count);
    return this.#bytes.subarray(start, start + count);
  }

  text(count: number, encoding: 'utf8' | 'latin1' = 'utf8'): string {
    const start = this.#skip(count);
    return this.#bytes.toString(encoding, start, start + count);
  }

  /** The text up to the next line feed, which is skipped. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.position);
    if (end < 0) throw new EndOfBytes();
    const line = this.text(end - this.position);
    this.position++;
    return line;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#skip(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16LE(this.#skip(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#skip(4));
  }

  int32(): number {
    return this.#bytes.readInt32LE(this.#skip(4));
  }

  /** Rounded from 2⁵³; such a length exceeds the bytes in any case. */
  uint64(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#skip(8)));
  }

  float64BigEndian(): number {
    return this.#bytes.readDoubleBE(this.#skip(8));
  }

  /** An integer of `count` bytes in two's complement; a bigint from 2⁵³. */
  integer(count: number): number | bigint {
    const value = this.take(count).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    const signed = BigInt.asIntN(8 * count, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }
}
