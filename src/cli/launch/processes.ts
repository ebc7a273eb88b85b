// The worker processes of mm launch: started together, their output merged, ended together. Worker 0 has this process's
// stdout and stderr; what the others say on stderr gets their rank, and their errors are read from their JSON.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { EXIT } from '../../util/errors.ts';
import { SECRET_VARIABLE } from '../workers.ts';

const reportSchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    option: z.string().optional(),
    where: z.string().optional(),
    fix: z.string().optional(),
    exitCode: z.int(),
  }),
});

/** An error as a worker reports it under `--json`. */
export type WorkerReport = z.output<typeof reportSchema>['error'];

/** How a worker ended. */
export interface WorkerEnd {
  readonly rank: number;
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It did not end with the others, and was killed. */
  readonly isKilled: boolean;
  /** The error of a worker other than worker 0, whose own output has it. */
  readonly report: WorkerReport | undefined;
}

export interface LaunchOptions {
  readonly workers: number;
  /** The training command and its flags. */
  readonly words: readonly string[];
  /** Ctrl-C: worker 0 is told, and all save and stop. */
  readonly signal: AbortSignal;
}

/** Time that workers get to end by themselves once one has failed, and once one was told to stop. */
const FAILED_MS = 500;
const STOPPED_MS = 10_000;

/** Runs the workers to their end. */
export async function runWorkers({ workers, words, signal }: LaunchOptions): Promise<WorkerEnd[]> {
  const join = `127.0.0.1:${await freePort()}`;
  const secret = randomBytes(32).toString('hex');
  const gpus = gpusOf(workers);
  const processes = Array.from({ length: workers }, (_, rank) => {
    const place = workers === 1 ? [] : ['--workers', String(workers), '--rank', String(rank), '--join', join];
    const own = rank === 0 ? [] : ['--json', '--quiet'].filter((flag) => !words.includes(flag));
    const visible = gpus[rank];
    const env = {
      [SECRET_VARIABLE]: secret,
      ...(visible !== undefined && { CUDA_VISIBLE_DEVICES: visible }),
    };
    return new WorkerProcess(rank, [...words, ...place, ...own], env);
  });
  const kill = (): void => {
    for (const worker of processes) worker.kill();
  };
  const interrupt = (): void => processes[0]?.interrupt();
  process.once('exit', kill);
  signal.addEventListener('abort', interrupt, { once: true });
  if (signal.aborted) interrupt();
  let late: NodeJS.Timeout | undefined;
  try {
    return await Promise.all(
      processes.map(async (worker) => {
        const end = await worker.ended;
        if (end.code !== EXIT.ok)
          late ??= setTimeout(kill, end.code === EXIT.interrupted ? STOPPED_MS : FAILED_MS);
        return end;
      }),
    );
  } finally {
    clearTimeout(late);
    process.off('exit', kill);
    signal.removeEventListener('abort', interrupt);
  }
}

class WorkerProcess {
  readonly ended: Promise<WorkerEnd>;
  readonly #child: ChildProcess;
  #isKilled = false;

  constructor(rank: number, words: readonly string[], env: Readonly<Record<string, string>>) {
    const program = process.argv.slice(1, process.argv.indexOf('launch'));
    const others = rank === 0 ? 'inherit' : 'pipe';
    this.#child = spawn(process.execPath, [...process.execArgv, '--', ...program, ...words], {
      // A separate process group: Ctrl-C in a terminal reaches this process alone, which tells worker 0.
      detached: true,
      stdio: ['ignore', others, others],
      env: { ...process.env, ...env },
    });
    let report: WorkerReport | undefined;
    const { stdout, stderr } = this.#child;
    if (stdout) createInterface({ input: stdout }).on('line', (line) => (report = reportIn(line) ?? report));
    let isError = false;
    if (stderr)
      createInterface({ input: stderr }).on('line', (line) => {
        // The one message is worker 0's, or that of mm launch.
        isError = line.startsWith('error: ') || (isError && line.startsWith('  '));
        if (!isError) process.stderr.write(`[${rank}] ${line}\n`);
      });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code, signal) =>
        resolve({ rank, code, signal, isKilled: this.#isKilled, report }),
      );
    });
  }

  interrupt(): void {
    this.#child.kill('SIGINT');
  }

  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      this.#isKilled = this.#child.kill('SIGKILL');
  }
}

function reportIn(line: string): WorkerReport | undefined {
  try {
    return reportSchema.safeParse(JSON.parse(line)).data?.error;
  } catch {
    return undefined;
  }
}

/** A port of the loopback interface on which nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Equal shares of the GPUs that CUDA_VISIBLE_DEVICES lists; none where there are fewer than workers. */
function gpusOf(workers: number): string[] {
  const all = (process.env.CUDA_VISIBLE_DEVICES ?? '').split(',').filter((gpu) => gpu !== '');
  const share = Math.floor(all.length / workers);
  if (share === 0) return [];
  return Array.from({ length: workers }, (_, rank) => all.slice(rank * share, (rank + 1) * share).join());
}
