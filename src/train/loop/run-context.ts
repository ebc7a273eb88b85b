// What a training run is told besides its configuration.

import type { Cluster } from '../../cluster/cluster.ts';
import type { Logger } from '../../util/logger.ts';
import type { Progress } from '../../util/progress.ts';

export interface RunContext {
  /** The run folder. */
  readonly path: string;
  /** Whether to go on with the run in it. */
  readonly resume: boolean;
  readonly log: Logger;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The workers that train together, this one among them; a run of one process has none. */
  readonly cluster?: Cluster | undefined;
}
