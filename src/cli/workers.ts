// Flags of commands that several processes carry out together, and the processes: those on one machine are started here.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { Argv } from 'yargs';
import type { Cluster } from '../cluster/cluster.ts';
import { DataError, UsageError } from '../util/errors.ts';
import type { Context } from './command.ts';

export interface WorkerFlags {
  readonly workers: number | undefined;
  readonly rank: number | undefined;
  readonly join: string | undefined;
  readonly 'worker-timeout': number;
}

const MAX_WORKERS = 1024;
/** How long workers may take to end by themselves. */
const END_MS = 5000;
/** Names the environment variable, not the secret. */
export const SECRET_VARIABLE = 'MM_WORKERS_SECRET';

export function workerFlags<T>(yargs: Argv<T>) {
  return yargs
    .option('workers', {
      type: 'number',
      requiresArg: true,
      describe: 'processes that share out each batch; started here, unless --rank and --join are given',
    })
    .option('rank', {
      type: 'number',
      requiresArg: true,
      describe: 'on several machines: number of this process, from 0, which has the run folder',
    })
    .option('join', {
      type: 'string',
      requiresArg: true,
      describe: 'on several machines: HOST:PORT of process 0, the same for all',
    })
    .option('worker-timeout', {
      type: 'number',
      requiresArg: true,
      default: 300,
      describe: 'seconds that a process may say nothing before it is given up',
    })
    .group(['workers', 'rank', 'join', 'worker-timeout'], 'Several processes:');
}

/** Where this process stands among how many; undefined when it is the only one. */
function placeOf({ workers, rank, join, 'worker-timeout': timeout }: WorkerFlags) {
  if (workers === undefined && rank === undefined && join === undefined) return undefined;
  const whole = (flag: string, value: number, least: number, most: number): void => {
    if (Number.isInteger(value) && value >= least && value <= most) return;
    throw new UsageError(`--${flag} ${value} is no whole number from ${least} to ${most}`, {
      where: `--${flag}`,
      fix: 'mm train-dalle --help describes the flags',
    });
  };
  if (!(timeout > 0)) {
    throw new UsageError(`--worker-timeout ${timeout} is no number of seconds`, {
      where: '--worker-timeout',
      fix: 'give more than 0',
    });
  }
  if (workers === undefined || (rank === undefined) !== (join === undefined)) {
    throw new UsageError('--rank and --join go together, with --workers', {
      where: rank === undefined ? '--join' : '--rank',
      fix: 'give all three to start each process yourself, or --workers alone to have them started on this machine',
    });
  }
  whole('workers', workers, 1, MAX_WORKERS);
  if (rank !== undefined) whole('rank', rank, 0, workers - 1);
  if (workers === 1) return undefined;
  return { workers, rank, join };
}

/**
 * Runs `body` as one of the processes that the flags ask for, after all of them have come together; with none when it
 * is the only one. An error of one ends all.
 */
export async function withWorkers<T>(
  flags: WorkerFlags,
  context: Context,
  body: (cluster: Cluster | undefined) => Promise<T>,
): Promise<T> {
  const place = placeOf(flags);
  if (place === undefined) return body(undefined);
  const { withCluster } = await import('../cluster/cluster.ts');
  const { parseAddress } = await import('../cluster/address.ts');
  const { workers, rank = 0, join } = place;
  const { log, signal } = context;
  const common = {
    rank,
    workers,
    timeoutSeconds: flags['worker-timeout'],
    onRefused: (why: string) => log.warn(`a worker was turned away: ${why}`),
  };
  if (join !== undefined) {
    log.info(`worker ${rank} of ${workers}, with worker 0 at ${join}`);
    const secret = process.env[SECRET_VARIABLE] ?? '';
    return withCluster({ ...common, address: parseAddress(join), secret, signal }, body);
  }
  const secret = randomBytes(32).toString('hex');
  const children = new Children(context, workers, secret);
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

/** The other workers on this machine. What they print goes to the log. */
class Children {
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
    // Before TensorFlow is loaded, which takes all the GPUs it sees.
    if (this.#devices[0] !== undefined) process.env.CUDA_VISIBLE_DEVICES = this.#devices[0];
  }

  /** Aborted when one ends badly; an error for users is the reason. */
  get failed(): AbortSignal {
    return this.#failure.signal;
  }

  start(port: number): void {
    process.once('exit', this.#kill);
    for (let rank = 1; rank < this.#workers; rank++) this.#start(rank, port);
  }

  /** Waits until they have ended, and ends them if that takes too long. */
  async end(): Promise<void> {
    const ended = Promise.all(this.#children.map((child) => hasEnded(child)));
    const late = new AbortController();
    await Promise.race([ended, setTimeout(END_MS, undefined, { signal: late.signal }).catch(() => {})]);
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
        // Ctrl-C in a terminal is for worker 0 alone: it stops with all of them.
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
    const said: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      this.#context.log.debug({ worker: rank }, line);
    });
    child.on('error', (error) => this.#fail(rank, error.message, said));
    child.on('close', (code, signal) => {
      if (code !== 0) this.#fail(rank, `ended with ${code === null ? signal : `exit code ${code}`}`, said);
    });
  }

  /** Too late for anything but the waiting for it: from then on the others hear of it from its connections. */
  #fail(rank: number, how: string, said: readonly string[]): void {
    const [error] = said.filter((line) => line.startsWith('error: '));
    const why = error === undefined ? '' : `: ${error.slice('error: '.length)}`;
    this.#failure.abort(
      new DataError(`worker ${rank} ${how}${why}`, {
        fix: 'what it printed is in the log with --log-level debug',
      }),
    );
  }
}

const hasEnded = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null || child.pid === undefined
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));
