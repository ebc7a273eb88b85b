// koffi, which calls C functions from JavaScript; see ../bundled/koffi.cjs.

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

export const koffi = createRequire(import.meta.url)('../bundled/koffi.cjs') as typeof Koffi;

/**
 * Opens each library a second time and never closes it. koffi unloads its libraries when the process ends, and
 * TensorFlow's threads, which still run then, would crash without their code.
 */
export function keepLoaded(paths: readonly string[]): void {
  const dlopen = koffi.load(null).func('void* dlopen(const char*, int)') as (
    path: string,
    mode: number,
  ) => bigint;
  const RTLD_LAZY = 1;
  for (const path of paths) dlopen(path, RTLD_LAZY);
}
