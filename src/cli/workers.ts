// Training by several processes: the flags, and the processes of one machine, which are started here.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { Argv } from 'yargs';
import { formatAddress } from '../cluster/address.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { membershipFrom, SOURCES } from '../cluster/environment.ts';
import { DataError, UsageError } from '../util/errors.ts';
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
  /** Of the training commands; not for several workers. */
  readonly devices?: string | undefined;
}

const MAX_WORKERS = 1024;
/** Time that workers get to exit by themselves. */
const EXIT_MS = 5000;
const RANK_FIX = 'number the processes from 0 to one less than --workers';
/** The environment variable that holds the secret. */
const SECRET_VARIABLE = 'MM_WORKERS_SECRET';

export function workerFlags<T>(yargs: Argv<T>) {
  return yargs
    .option('workers', {
      ...wholeNumber('workers', { max: MAX_WORKERS }),
      defaultDescription: '1',
      describe: 'processes that share each batch; started on this machine unless --rank and --join are given',
    })
    .option('rank', {
      ...wholeNumber('rank', { min: 0, max: MAX_WORKERS - 1, fix: RANK_FIX }),
      describe: 'several machines: number of this process, from 0; process 0 writes the run folder',
    })
    .option('join', { ...TEXT, describe: 'several machines: HOST:PORT of process 0, the same for all' })
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
  /** Undefined where this process starts the others. */
  readonly rank: number | undefined;
  readonly join: string | undefined;
}

/** Which process this is among how many; undefined when it is the only one. */
function placementOf(flags: WorkerFlags): Placement | undefined {
  const { 'worker-timeout': timeout, devices } = flags;
  const { workers, rank, join } = placementInEnvironment(flags) ?? flags;
  if (workers === undefined && rank === undefined && join === undefined) return undefined;
  if (!(timeout > 0)) {
    throw new UsageError(`\`workerTimeout\`: expected a number above 0, received ${timeout}`, {
      code: 'E_OPTION_VALUE',
      option: 'workerTimeout',
      fix: 'leave it out for 300 seconds',
    });
  }
  if (workers === undefined || (rank === undefined) !== (join === undefined)) {
    throw new UsageError('--rank and --join go together, with --workers', {
      code: 'E_WORKER_FLAGS',
      option: rank === undefined ? 'join' : 'rank',
      fix: 'give all three to start each process yourself, or --workers alone to have them started on this machine',
    });
  }
  if (rank !== undefined) assertWholeNumber('rank', rank, { min: 0, max: workers - 1 }, RANK_FIX);
  if (workers === 1) return undefined;
  if (devices !== undefined) {
    throw new UsageError('--devices and --workers do not go together: each worker has one device', {
      code: 'E_WORKER_FLAGS',
      option: 'devices',
      fix: 'on one machine give --devices alone; on several leave it out',
    });
  }
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
  context: Context,
  body: (cluster: Cluster | undefined) => Promise<T>,
): Promise<T> {
  const placement = placementOf(flags);
  if (placement === undefined) return body(undefined);
  const { withCluster } = await import('../cluster/cluster.ts');
  const { parseAddress } = await import('../cluster/address.ts');
  const { workers, rank = 0, join } = placement;
  const { log, signal } = context;
  const common = {
    rank,
    workers,
    timeoutSeconds: flags['worker-timeout'],
    onRefused: (why: string) => log.warn(`a connection was refused: ${why}`),
  };
  if (join !== undefined) {
    log.info(`worker ${rank} of ${workers}; worker 0 is at ${join}`);
    const secret = process.env[SECRET_VARIABLE] ?? '';
    return withCluster({ ...common, address: parseAddress(join), secret, signal }, body);
  }
  const secret = randomBytes(32).toString('hex');
  const children = new ChildWorkers(context, workers, secret);
  try {
    return await withCluster(
      {
        ...common,
        address: { host: '127.0.0.1', port: 0 },
        secret,
        signal: AbortSignal.any([signal, children.failed]),
        onListening: (port) => children.start(port),
      },
      body,
    );
  } finally {
    await children.end();
  }
}

/** The other workers, as child processes on this machine. What they print goes to the log at level debug. */
class ChildWorkers {
  readonly #context: Context;
  readonly #workers: number;
  readonly #secret: string;
  readonly #children: ChildProcess[] = [];
  readonly #failure = new AbortController();
  readonly #devices: readonly string[];

  constructor(context: Context, workers: number, secret: string) {
    this.#context = context;
    this.#workers = workers;
    this.#secret = secret;
    const devices = (process.env.CUDA_VISIBLE_DEVICES ?? '').split(',');
    this.#devices = devices.length >= workers ? devices : [];
    // Set before TensorFlow is loaded, because it claims every GPU that it sees.
    if (this.#devices[0] !== undefined) process.env.CUDA_VISIBLE_DEVICES = this.#devices[0];
  }

  /** Aborted when one fails; the reason is an error for users. */
  get failed(): AbortSignal {
    return this.#failure.signal;
  }

  start(port: number): void {
    process.once('exit', this.#kill);
    for (let rank = 1; rank < this.#workers; rank++) this.#start(rank, port);
  }

  /** Waits until they have exited, and kills them if that takes too long. */
  async end(): Promise<void> {
    const ended = Promise.all(this.#children.map((child) => hasEnded(child)));
    const late = new AbortController();
    await Promise.race([ended, setTimeout(EXIT_MS, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    this.#kill();
    process.off('exit', this.#kill);
    await ended;
  }

  readonly #kill = (): void => {
    for (const child of this.#children) child.kill('SIGKILL');
  };

  #start(rank: number, port: number): void {
    const own = ['--rank', String(rank), '--join', `127.0.0.1:${port}`];
    const quiet = this.#context.isQuiet ? [] : ['--quiet'];
    const device = this.#devices[rank];
    const child = spawn(
      process.execPath,
      [...process.execArgv, '--', ...process.argv.slice(1), ...own, ...quiet],
      {
        // A separate process group: Ctrl-C in a terminal reaches worker 0 alone, which stops the others.
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
        env: {
          ...process.env,
          [SECRET_VARIABLE]: this.#secret,
          ...(device !== undefined && { CUDA_VISIBLE_DEVICES: device }),
        },
      },
    );
    this.#children.push(child);
    const lines: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line);
      this.#context.log.debug({ worker: rank }, line);
    });
    child.on('error', (error) => this.#fail(rank, error.message, lines));
    child.on('close', (code, signal) => {
      if (code !== 0) this.#fail(rank, `ended with ${code === null ? signal : `exit code ${code}`}`, lines);
    });
  }

  /** Only matters until all workers are connected: afterwards a failure is noticed by its closed connections. */
  #fail(rank: number, how: string, stderr: readonly string[]): void {
    const [error] = stderr.filter((line) => line.startsWith('error: '));
    const why = error === undefined ? '' : `: ${error.slice('error: '.length)}`;
    this.#failure.abort(
      new DataError(`worker ${rank} ${how}${why}`, {
        code: 'E_WORKER_FAILED',
        fix: 'run again with --log-level debug, which logs what the worker prints',
      }),
    );
  }
}

const hasEnded = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null || child.pid === undefined
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));
