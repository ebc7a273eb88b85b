// The context of a long-running job: log, progress and cancellation.

import type { Logger } from './logger.ts';
import type { Progress } from './progress.ts';

/** Passed by the caller of a job: a command or a program. */
export interface JobContext {
  readonly log: Logger;
  readonly progress: Progress;
  /** Aborted when the user asks to stop. */
  readonly signal: AbortSignal;
}
