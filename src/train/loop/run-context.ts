// The parameters of a training run besides its configuration.

import type { Cluster } from '../../cluster/cluster.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { DeviceRequest } from '../../engine/session/devices.ts';
import type { JobContext } from '../../util/job.ts';
import type { RunEngine } from '../run-engine.ts';
import type { ResumableConfig } from './resume-checks.ts';

export interface RunContext extends JobContext {
  /** The run folder. */
  readonly path: string;
  /** Whether to continue the run in it. */
  readonly resume: boolean;
  /** The workers that train together, including this one; undefined when one process trains alone. */
  readonly cluster?: Cluster | undefined;
  /** The devices of this process that train together; one without it. */
  readonly devices?: DeviceRequest | undefined;
}

/** What opening a training run gets besides its configuration. */
export interface OpenContext extends RunContext {
  /** Collects the examples that are skipped; summed up at the end of the run. */
  readonly faults: Faults;
  /** The configuration of the run that is resumed; at worker 0. */
  readonly stored?: ResumableConfig | undefined;
  /** Started once everything that can be checked without it is checked. */
  readonly engine: Pick<RunEngine, 'start'>;
}
