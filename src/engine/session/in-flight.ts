// Session runs in flight. At exit Node would wait for them, which can take minutes, and TensorFlow cannot cancel a run:
// the process exits without waiting.

import type { CApi } from '../native/capi.ts';

const inFlight = new Set<Promise<unknown>>();
let leave: ((code: number) => void) | undefined;

/** Makes `process.exit` not wait for `run`. */
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

/** Node prints an uncaught error after its exit listeners, so the process must not exit in one. */
function stay(): void {
  if (leave) process.off('exit', leave);
}
