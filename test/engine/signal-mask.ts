// Which signals a thread holds, on Linux.

import { readFileSync } from 'node:fs';

/** The set of a thread of this process, by default the main one, as hexadecimal digits. */
export function maskOf(thread: number | string = process.pid): string {
  const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
  return /^SigBlk:\s*(\w+)$/m.exec(status)?.[1] as string;
}

export const holds = (mask: string, signal: number): boolean =>
  ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
