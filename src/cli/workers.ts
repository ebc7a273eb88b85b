// Training by several processes: the flags of each of them. mm launch starts them on one machine.

import type { Argv } from 'yargs';
import { formatAddress } from '../cluster/address.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { membershipFrom, SOURCES } from '../cluster/environment.ts';
import { UsageError } from '../util/errors.ts';
import { assertWholeNumber } from '../util/whole-number.ts';
import type { Context } from './command.ts';
import { NUMBER, TEXT } from './help.ts';
import { wholeNumber } from './whole-number.ts';

export interface WorkerFlags {
  readonly workers: number | undefined;
  readonly rank: number | undefined;
  readonly join: string | undefined;
  readonly 'worker-timeout': number;
  readonly 'workers-from': (typeof SOURCES)[number] | undefined;
}

export const MAX_WORKERS = 1024;
const RANK_FIX = 'number the processes from 0 to one less than --workers';
/** The environment variable that holds the secret. */
export const SECRET_VARIABLE = 'MM_WORKERS_SECRET';

export function workerFlags<T>(yargs: Argv<T>) {
  return yargs
    .option('workers', {
      ...wholeNumber('workers', { max: MAX_WORKERS }),
      defaultDescription: '1',
      describe: 'processes that share each batch, this one included; mm launch starts them on one machine',
    })
    .option('rank', {
      ...wholeNumber('rank', { min: 0, max: MAX_WORKERS - 1, fix: RANK_FIX }),
      describe: 'number of this process, from 0; process 0 writes the run folder',
    })
    .option('join', { ...TEXT, describe: 'HOST:PORT of process 0, the same for all' })
    .option('workers-from', {
      choices: SOURCES,
      describe: 'takes the other three from TF_CONFIG (Kubernetes) or from the variables of srun',
    })
    .option('worker-timeout', {
      ...NUMBER,
      default: 300,
      describe: 'seconds without a sign of life after which a process counts as lost',
    })
    .group(['workers', 'rank', 'join', 'workers-from', 'worker-timeout'], 'Several processes:');
}

interface Placement {
  readonly workers: number;
  readonly rank: number;
  readonly join: string;
}

/** Which process this is among how many; undefined when it is the only one. */
function placementOf(flags: WorkerFlags): Placement | undefined {
  const { 'worker-timeout': timeout } = flags;
  const { workers, rank, join } = placementInEnvironment(flags) ?? flags;
  if (workers === undefined && rank === undefined && join === undefined) return undefined;
  if (!(timeout > 0)) {
    throw new UsageError(`\`workerTimeout\`: expected a number above 0, received ${timeout}`, {
      code: 'E_OPTION_VALUE',
      option: 'workerTimeout',
      fix: 'leave it out for 300 seconds',
    });
  }
  if (workers === 1 && rank === undefined && join === undefined) return undefined;
  if (workers === undefined || rank === undefined || join === undefined) {
    throw new UsageError('--workers, --rank and --join go together', {
      code: 'E_WORKER_FLAGS',
      option: workers === undefined ? 'workers' : rank === undefined ? 'rank' : 'join',
      fix: 'give all three to each process; on one machine, mm launch --workers N -- train-… starts them all',
    });
  }
  assertWholeNumber('rank', rank, { min: 0, max: workers - 1 }, RANK_FIX);
  if (workers === 1) return undefined;
  return { workers, rank, join };
}

/** What --workers-from takes from the environment; undefined without it. */
function placementInEnvironment({ workers, rank, join, ...flags }: WorkerFlags): Placement | undefined {
  const source = flags['workers-from'];
  if (source === undefined) return undefined;
  if (workers !== undefined || rank !== undefined || join !== undefined) {
    throw new UsageError('--workers-from gives --workers, --rank and --join, which were given too', {
      code: 'E_WORKER_FLAGS',
      option: 'workersFrom',
      fix: 'leave out the other three',
    });
  }
  const { address, ...member } = membershipFrom(source, process.env);
  return { ...member, join: formatAddress(address) };
}

/**
 * Runs `body` as one of the processes that the flags name, once all of them are connected; without a cluster when this
 * process is the only one. An error in one of them ends all.
 */
export async function withWorkers<T>(
  flags: WorkerFlags,
  { log, signal }: Context,
  body: (cluster: Cluster | undefined) => Promise<T>,
): Promise<T> {
  const placement = placementOf(flags);
  if (placement === undefined) return body(undefined);
  const { withCluster } = await import('../cluster/cluster.ts');
  const { parseAddress } = await import('../cluster/address.ts');
  const { workers, rank, join } = placement;
  const address = parseAddress(join);
  log.info(`worker ${rank} of ${workers}; worker 0 is at ${join}`);
  return withCluster(
    {
      rank,
      workers,
      address,
      secret: process.env[SECRET_VARIABLE] ?? '',
      timeoutSeconds: flags['worker-timeout'],
      signal,
      onRefused: (why) => log.warn(`a connection was refused: ${why}`),
    },
    body,
  );
}
