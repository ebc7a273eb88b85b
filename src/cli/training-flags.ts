// Flags that all training commands have.

import type { Argv } from 'yargs';
import type { Cluster } from '../cluster/cluster.ts';
import type { RunContext } from '../train/loop/run-context.ts';
import { UsageError } from '../util/errors.ts';
import { SILENT } from '../util/progress.ts';
import type { Context } from './command.ts';

export interface TrainingFlags {
  config: string | undefined;
  set: string[] | undefined;
  seed: number | undefined;
  run: string;
  resume: boolean;
}

export function trainingFlags<T>(yargs: Argv<T>, defaultRun: string) {
  return yargs
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'YAML file; see configs/ and docs/CONFIG.md',
    })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'path.to.key=value, over the file; repeatable',
    })
    .option('seed', {
      type: 'number',
      requiresArg: true,
      describe: 'the same seed repeats the run bit for bit',
    })
    .option('run', {
      type: 'string',
      requiresArg: true,
      default: defaultRun,
      describe: 'folder for checkpoints, metrics and images',
    })
    .option('resume', { type: 'boolean', default: false, describe: 'go on with the run in the folder' });
}

/** Of those that train on captions. */
export const truncateFlag = {
  type: 'boolean',
  alias: ['truncate_captions', 'truncate-captions'],
  describe:
    'cut captions longer than the model reads, over data.truncateCaptions; without it they are an error',
} as const;

/** The run's context; what is logged also goes to the run's log.jsonl. */
export function runContext(
  { run, resume }: TrainingFlags,
  { log, progress, signal }: Context,
  cluster?: Cluster,
): RunContext {
  if (run === '')
    throw new UsageError('--run is empty', { fix: 'name a folder, for example --run runs/first' });
  // Worker 0 shows how far they are.
  return {
    path: run,
    resume,
    log,
    progress: cluster && !cluster.isPrimary ? SILENT : progress,
    signal,
    cluster,
  };
}
