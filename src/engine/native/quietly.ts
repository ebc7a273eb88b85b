// Loading TensorFlow without its notice on stderr.

import { constants } from 'node:fs';
import type { LibraryHandle } from 'koffi';

/**
 * Runs `body` with stderr redirected to /dev/null, unless TF_CPP_MIN_LOG_LEVEL is 0: loading the library prints a
 * notice that no log level suppresses.
 */
export function quietly(libc: LibraryHandle, body: () => void): void {
  if (Number(process.env.TF_CPP_MIN_LOG_LEVEL) < 1) {
    body();
    return;
  }
  const open = libc.func('int open(const char*, int)') as (path: string, flags: number) => number;
  const dup = libc.func('int dup(int)') as (from: number) => number;
  const dup2 = libc.func('int dup2(int, int)') as (from: number, to: number) => number;
  const close = libc.func('int close(int)') as (file: number) => number;
  const nullFile = open('/dev/null', constants.O_WRONLY);
  const stderr = dup(2);
  dup2(nullFile, 2);
  try {
    body();
  } finally {
    dup2(stderr, 2);
    close(stderr);
    close(nullFile);
  }
}
