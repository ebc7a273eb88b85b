// Reads Python pickles, protocols 2 to 5, as data. A pickle is a program for a small stack machine that may call any
// importable function; this one has none. Each class or function that a pickle names is looked up with the host's
// `resolve`, which refuses what it does not know, and which makes plain data of the rest.

import { DataError } from '../../util/errors.ts';
import { Cursor, EndOfBytes } from './cursor.ts';
import { PickleFault } from './fault.ts';
import { OPERATIONS, type PickleHost, STOP } from './operations.ts';
import { Stack } from './stack.ts';
import type { PickleValue } from './values.ts';

/**
 * Reads the pickle that begins at `start`.
 * @param where the file, for messages
 * @returns the value, and the position after the pickle
 * @throws DataError when it is cut short, malformed, or names what the host refuses
 */
export function readPickle(
  bytes: Uint8Array,
  host: PickleHost,
  where: string,
  start = 0,
): { readonly value: PickleValue; readonly end: number } {
  const cursor = new Cursor(bytes);
  cursor.position = start;
  const stack = new Stack();
  let name = 'PROTO';
  try {
    for (let code = cursor.uint8(); code !== STOP; code = cursor.uint8()) {
      const operation = OPERATIONS.get(code);
      if (!operation)
        throw new PickleFault(`0x${code.toString(16).padStart(2, '0')} is no operation it knows`);
      name = operation[0];
      operation[1](stack, cursor, host);
    }
    return { value: stack.pop(), end: cursor.position };
  } catch (cause) {
    if (cause instanceof EndOfBytes) {
      throw new DataError('the file is cut short: its pickle ends in the middle', {
        code: 'E_FILE_DAMAGED',
        where: `${where}, byte ${bytes.length}`,
        fix: 'fetch or copy it again, and compare its size with the original',
      });
    }
    if (!(cause instanceof PickleFault)) throw cause;
    throw new DataError(`the pickle is not one that mm reads: ${cause.message}`, {
      code: 'E_PICKLE_UNSUPPORTED',
      where: `${where}, byte ${cursor.position} (${name})`,
      fix: cause.fix,
    });
  }
}
