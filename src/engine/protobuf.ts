// The few lines of protocol buffers that the C API needs: configurations out, op definitions in.

export type Field = readonly number[];

function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

/** A varint field: integers, booleans and enums. */
export const integerField = (field: number, value: number | boolean): Field => [
  ...varint(field << 3),
  ...varint(Number(value)),
];

/** A length-delimited field: strings, bytes and messages. */
export function bytesField(field: number, content: string | readonly number[]): Field {
  const bytes = typeof content === 'string' ? [...Buffer.from(content)] : content;
  return [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
}

export const message = (...fields: readonly Field[]): Field => fields.flat();

/** Calls `visit(field, value)` for each field of a message; nested messages and strings come as bytes. */
export function readMessage(
  bytes: Uint8Array,
  visit: (field: number, value: Uint8Array | number) => void,
): void {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('message cut short');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = next();
    switch (tag & 7) {
      case 0:
        visit(tag >>> 3, next());
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = next();
        visit(tag >>> 3, bytes.subarray(at, at + length));
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new RangeError(`wire type ${tag & 7} is not supported`);
    }
  }
}
