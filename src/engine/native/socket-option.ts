// setsockopt of Linux, for the filter of a socket (distributed/socket-filter.ts).

import { koffi } from './koffi.ts';

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const INSTRUCTION_BYTES = 8;
const PROGRAM = koffi.struct('sock_fprog', { length: 'unsigned short', code: 'void*' });

type Code = readonly [code: number, isTrue: number, isFalse: number, operand: number];

/**
 * Attaches a classic BPF program to a socket; returns the system's reason where it does not take it.
 * @param file descriptor of the socket
 */
export function attachFilter(file: number, program: readonly Code[]): string | undefined {
  const bytes = Buffer.alloc(INSTRUCTION_BYTES * program.length);
  for (const [i, [code, isTrue, isFalse, operand]] of program.entries()) {
    const at = INSTRUCTION_BYTES * i;
    // struct sock_filter, in the machine's byte order.
    new Uint16Array(bytes.buffer, bytes.byteOffset + at, 1)[0] = code;
    bytes[at + 2] = isTrue;
    bytes[at + 3] = isFalse;
    new Uint32Array(bytes.buffer, bytes.byteOffset + at + 4, 1)[0] = operand;
  }
  const libc = koffi.load('libc.so.6');
  const setOption = libc.func('int setsockopt(int, int, int, const sock_fprog*, unsigned int)') as (
    ...values: [number, number, number, { length: number; code: Buffer }, number]
  ) => number;
  const header = { length: program.length, code: bytes };
  if (setOption(file, SOL_SOCKET, SO_ATTACH_FILTER, header, koffi.sizeof(PROGRAM)) === 0) return undefined;
  return `error ${koffi.errno()}`;
}
