// The commands that train: their common flags, and the run from flags to result.

import type { Argv } from 'yargs';
import type { z } from 'zod';
import type { Cluster } from '../cluster/cluster.ts';
import { loadConfig } from '../config/load.ts';
import { parseDevices } from '../engine/session/devices.ts';
import type { LoopResult } from '../train/loop/loop.ts';
import type { RunContext } from '../train/loop/run-context.ts';
import { UsageError } from '../util/errors.ts';
import { SILENT } from '../util/progress.ts';
import { type Command, type Context, defineCommand } from './command.ts';
import { deviceFlag, setFlag, TEXT } from './help.ts';
import { wholeNumber } from './whole-number.ts';
import { type WorkerFlags, withWorkers, workerFlags } from './workers.ts';

export interface TrainingFlags extends WorkerFlags {
  config: string | undefined;
  set: string[] | undefined;
  seed: number | undefined;
  run: string;
  resume: boolean;
  devices: string | undefined;
}

function trainingFlags<T>(yargs: Argv<T>, defaultRun: string) {
  return workerFlags(yargs)
    .option('config', {
      ...TEXT,
      describe: 'configuration, a YAML file; configs/ has some, docs/CONFIG.md the keys',
    })
    .option('set', setFlag)
    .option('seed', {
      ...wholeNumber('seed', { min: 0 }),
      describe: 'overrides seed of the configuration; the same seed repeats the run bit for bit',
    })
    .option('run', {
      ...TEXT,
      default: defaultRun,
      describe: 'run folder: checkpoints, metrics, sample images, log',
    })
    .option('resume', {
      type: 'boolean',
      default: false,
      describe: 'continue the run in the run folder from its newest checkpoint',
    })
    .option('devices', deviceFlag('each batch'));
}

/** Of the commands that train on captions. */
export const truncateFlag = {
  type: 'boolean',
  alias: 'truncate_captions',
  defaultDescription: 'such a caption is an error',
  describe: 'cut captions longer than the model reads; overrides data.truncateCaptions',
} as const;

export interface TrainingCommand<Schema extends z.ZodType, Flags extends TrainingFlags> {
  readonly schema: Schema;
  /** Run folder without `--run`. */
  readonly defaultRun: string;
  /** Declares the flags that only this command has, and its examples. */
  flags(yargs: Argv<TrainingFlags>): Argv<Flags>;
  /** Values of flags by the configuration keys that they override; undefined where a flag is not given. */
  overrides(flags: Flags): Readonly<Record<string, unknown>>;
  /** Loads the code that trains, and runs it. */
  train(config: z.output<Schema>, context: RunContext): Promise<LoopResult>;
  /** Fields of the JSON result besides those of the run. */
  extraResults?(config: z.output<Schema>): Readonly<Record<string, unknown>>;
}

export function trainingCommand<Schema extends z.ZodType, Flags extends TrainingFlags>(
  definition: TrainingCommand<Schema, Flags>,
): Command<Flags> {
  return defineCommand({
    flags: (yargs) => definition.flags(trainingFlags(yargs, definition.defaultRun)),

    async run(flags: Flags, context) {
      const config = loadConfig(definition.schema, {
        file: flags.config,
        set: flags.set,
        flags: { seed: flags.seed, ...definition.overrides(flags) },
      });
      await withWorkers(flags, context, async (cluster) => {
        const { evaluation, ...result } = await definition.train(config, runContext(flags, context, cluster));
        if (cluster && !cluster.isPrimary) return;
        context.print(result.checkpoint);
        context.json({ ...result, ...definition.extraResults?.(config), ...evaluation });
      });
    },
  });
}

/** What the run is told besides its configuration. Only worker 0 shows progress. */
function runContext(
  { run, resume, devices }: TrainingFlags,
  { log, progress, signal }: Context,
  cluster?: Cluster,
): RunContext {
  if (run === '') {
    throw new UsageError('`run` is empty', {
      code: 'E_OPTION_VALUE',
      option: 'run',
      fix: 'name a folder, for example --run runs/first',
    });
  }
  return {
    path: run,
    resume,
    log,
    progress: cluster && !cluster.isPrimary ? SILENT : progress,
    signal,
    cluster,
    devices: parseDevices(devices),
  };
}
