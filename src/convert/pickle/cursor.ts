// Bytes read in order, never past their end.

/** The bytes end where more were announced. */
export class EndOfBytes extends Error {}

export class Cursor {
  position = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Moves over `count` bytes and returns where they begin. */
  #over(count: number): number {
    const start = this.position;
    if (!(count <= this.#bytes.length - start)) throw new EndOfBytes();
    this.position = start + count;
    return start;
  }

  take(count: number): Uint8Array {
    const start = this.#over(count);
    return this.#bytes.subarray(start, start + count);
  }

  text(count: number, encoding: 'utf8' | 'latin1' = 'utf8'): string {
    const start = this.#over(count);
    return this.#bytes.toString(encoding, start, start + count);
  }

  /** Up to the next line feed, which is passed over. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.position);
    if (end < 0) throw new EndOfBytes();
    const line = this.text(end - this.position);
    this.position++;
    return line;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#over(1));
  }

  uint16(): number {
    return this.#bytes.readUInt16LE(this.#over(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#over(4));
  }

  int32(): number {
    return this.#bytes.readInt32LE(this.#over(4));
  }

  /** Rounded past 2⁵³, where a length is past the end anyway. */
  uint64(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#over(8)));
  }

  float64BigEndian(): number {
    return this.#bytes.readDoubleBE(this.#over(8));
  }

  /** A two's complement integer of `count` bytes. */
  integer(count: number): number | bigint {
    const value = this.take(count).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    const signed = BigInt.asIntN(8 * count, value);
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }
}
