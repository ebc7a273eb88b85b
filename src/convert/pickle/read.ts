// Reads Python pickles, protocols 2 to 5, as data. A pickle is a program for a stack machine, which in Python may call
// any importable function. Here the host's `resolve` looks up each class or function that a pickle names; it returns
// plain data and throws PickleFault for unknown names.

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
 * @throws DataError E_FILE_DAMAGED when it is truncated, E_PICKLE_UNSUPPORTED when it is malformed or has unknown names
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
        throw new PickleFault(`0x${code.toString(16).padStart(2, '0')} is an unknown operation`);
      name = operation[0];
      operation[1](stack, cursor, host);
    }
    return { value: stack.pop(), end: cursor.position };
  } catch (cause) {
    if (cause instanceof EndOfBytes) {
      throw new DataError('the file is truncated: its pickle has no end', {
        code: 'E_FILE_DAMAGED',
        where: `${where}, byte ${bytes.length}`,
        fix: 'download or copy it again, and compare its size with the original',
      });
    }
    if (!(cause instanceof PickleFault)) throw cause;
    throw new DataError(`mm cannot read the pickle: ${cause.message}`, {
      code: 'E_PICKLE_UNSUPPORTED',
      where: `${where}, byte ${cursor.position} (${name})`,
      fix: cause.fix,
    });
  }
}
