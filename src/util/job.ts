// The context of a job that takes a while: logger, progress, signal.

import type { Logger } from './logger.ts';
import type { Progress } from './progress.ts';

export interface JobContext {
  readonly log: Logger;
  readonly progress: Progress;
  /** Aborted when the user asks to stop. */
  readonly signal: AbortSignal;
}
