// The part of protocol buffers that TensorFlow and TensorBoard need: writes configurations and events, reads op
// definitions and traces. A field is a varint of (number << 3 | wire type) and its value.

export type Field = Uint8Array;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** An integer below 2⁵³ in groups of seven bits, lowest first; negative integers are encoded plus 2⁶⁴. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

const field = (number: number, wireType: number, value: Uint8Array): Field =>
  Buffer.concat([varint((number << 3) | wireType), value]);

/** A varint field: integers, booleans and enums. */
export const integerField = (number: number, value: number | boolean): Field =>
  field(number, VARINT, varint(Number(value)));

/** A length-delimited field: strings, bytes and messages. */
export function bytesField(number: number, content: string | Uint8Array): Field {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return field(number, LENGTH_DELIMITED, Buffer.concat([varint(bytes.length), bytes]));
}

/** A 32-bit float field. */
export function floatField(number: number, value: number): Field {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return field(number, FIXED32, bytes);
}

/** A field of 32 bits: checksums. */
export function fixed32Field(number: number, value: number): Field {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return field(number, FIXED32, bytes);
}

/** A 64-bit float field. */
export function doubleField(number: number, value: number): Field {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return field(number, FIXED64, bytes);
}

/** Concatenates fields to a message. */
export const message = (...fields: readonly Field[]): Buffer => Buffer.concat(fields);

/** Calls `visit(field, value)` for each field of a message; nested messages and strings come as bytes. */
export function readFields(
  bytes: Uint8Array,
  visit: (field: number, value: Uint8Array | number) => void,
): void {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('the message is truncated');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = next();
    switch (tag & 7) {
      case VARINT:
        visit(tag >>> 3, next());
        break;
      case FIXED64:
        at += 8;
        break;
      case LENGTH_DELIMITED: {
        const length = next();
        visit(tag >>> 3, bytes.subarray(at, at + length));
        at += length;
        break;
      }
      case FIXED32:
        at += 4;
        break;
      default:
        throw new RangeError(`wire type ${tag & 7} is not supported`);
    }
  }
}
