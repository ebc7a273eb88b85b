// Runs that TensorFlow is at. Node waits for them when the process exits, which can take minutes, and TensorFlow cannot
// be stopped in the middle: the process leaves without them.

import type { CApi } from '../native/capi.ts';

const inFlight = new Set<Promise<unknown>>();
let leave: ((code: number) => void) | undefined;

/** `process.exit` does not wait for `run`. */
export function leaveOnExit(api: CApi, run: Promise<unknown>): void {
  if (inFlight.size === 0) {
    leave = (code) => api.exitNow(code);
    process.on('exit', leave);
    process.on('uncaughtExceptionMonitor', stay);
  }
  inFlight.add(run);
  const forget = (): void => {
    inFlight.delete(run);
    if (inFlight.size > 0) return;
    stay();
    process.off('uncaughtExceptionMonitor', stay);
  };
  run.then(forget, forget);
}

/** Node prints an uncaught error after its listeners for the exit. */
function stay(): void {
  if (leave) process.off('exit', leave);
}
