// What a training run is told besides its configuration.

import type { Cluster } from '../../cluster/cluster.ts';
import type { JobContext } from '../../util/job.ts';

export interface RunContext extends JobContext {
  /** The run folder. */
  readonly path: string;
  /** Whether to go on with the run in it. */
  readonly resume: boolean;
  /** The workers that train together, this one among them; a run of one process has none. */
  readonly cluster?: Cluster | undefined;
}
