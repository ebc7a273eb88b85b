// Signals wait while TensorFlow computes. oneDNN's kernels for products of float32 move the stack pointer into a block
// of the heap, and the system puts the frame of a signal's handler below it, over whatever lies there: a terminal that
// is resized, or Ctrl-C, could destroy the heap (uxlfoundation/oneDNN, issue 4845; fixed in March 2026, which
// libtensorflow 2.21 does not have yet).

import { constants } from 'node:os';
import { koffi } from './koffi.ts';

/** `SIG_SETMASK` of <signal.h>. */
const SET_MASK = process.platform === 'darwin' ? 3 : 2;
/** Bytes of a `sigset_t` of Linux; macOS has fewer. */
const SET_BYTES = 128;
/** Of the running code's faults: they cannot wait. */
const FAULTS = ['SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGSYS'] as const;

/** A set of all signals but the faults, a bit for each, from 1 on. */
function allButFaults(): Uint8Array {
  const set = new Uint8Array(SET_BYTES).fill(0xff);
  for (const name of FAULTS) {
    const bit = constants.signals[name] - 1;
    set[bit >> 3]! &= ~(1 << (bit & 7));
  }
  return set;
}

const HELD = allButFaults();

type SetMask = (how: number, set: Uint8Array, old: Uint8Array | null) => number;
let setMask: SetMask | undefined;

/**
 * `body`, which the thread's signals do not interrupt: they come after it, or to another thread. Threads that it starts
 * never take any: TensorFlow's do not, then, and the threads of asynchronous runs only where the main thread cannot.
 * For x64, where there are such kernels; elsewhere it is `body` itself.
 */
export function withSignalsHeld<Arguments extends unknown[], Result>(
  body: (...values: Arguments) => Result,
): (...values: Arguments) => Result {
  if (process.arch !== 'x64' || process.platform === 'win32') return body;
  setMask ??= koffi.load(null).func('int pthread_sigmask(int, const void*, void*)') as never as SetMask;
  const set = setMask;
  return (...values) => {
    const before = new Uint8Array(SET_BYTES);
    set(SET_MASK, HELD, before);
    try {
      return body(...values);
    } finally {
      set(SET_MASK, before, null);
    }
  };
}
