// The processes of a training run: under mm launch, or started one by one.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../free-port.ts';

export interface Training {
  readonly run: string;
  readonly config: string;
  readonly workers: number;
  readonly timeoutSeconds: number;
}

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

const PROGRAM = fileURLToPath(new URL('../../../bin/mm.js', import.meta.url));

const running = new Set<Command>();

/** Ends what this script has started, when it is ended itself. */
process.once('SIGINT', endAll).once('SIGTERM', endAll);
function endAll(): void {
  for (const { child } of running)
    for (const pid of [...workersOf(child.pid as number).values(), child.pid as number])
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  process.exit(1);
}

/** A running `mm` command. */
export class Command {
  readonly child: ChildProcess;
  readonly end: Promise<Ended>;
  stderr = '';
  isOver = false;

  constructor(words: readonly string[]) {
    const child = spawn(process.execPath, [PROGRAM, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    running.add(this);
    child.stderr.on('data', (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    const code = new Promise<number | null>((resolve) => child.on('close', resolve));
    this.end = Promise.all([code, text(child.stdout)]).then(([ended]) => {
      this.isOver = true;
      running.delete(this);
      return { code: ended, stderr: this.stderr };
    });
  }

  sleep(milliseconds: number): Promise<unknown> {
    return Promise.race([setTimeout(milliseconds), this.end]);
  }
}

const wordsOf = ({ run, config, timeoutSeconds }: Training): string[] => [
  ...['train-dalle', '--config', config, '--run', run, '--worker-timeout', String(timeoutSeconds)],
];

export const launched = (
  training: Training,
  flags: readonly string[],
  ofTraining: readonly string[] = [],
): Command =>
  new Command([
    'launch',
    ...['--workers', String(training.workers), ...flags, '--', ...wordsOf(training), ...ofTraining],
  ]);

/** The workers, in the order of their ranks; those that are not worker 0 would write elsewhere. */
export async function oneByOne(training: Training, flags: readonly string[] = []): Promise<Command[]> {
  const join = `127.0.0.1:${await freePort()}`;
  return Array.from({ length: training.workers }, (_, rank) => {
    const own = rank === 0 ? training : { ...training, run: `${training.run}-of-no-worker` };
    const place = ['--workers', String(training.workers), '--rank', String(rank), '--join', join];
    return new Command([...wordsOf(own), ...place, ...flags]);
  });
}

/** The processes that `parent` has started, by rank; a rank whose process is not there yet is missing. */
export function workersOf(parent: number): Map<number, number> {
  const found = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (!new RegExp(`^PPid:\\t${parent}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'utf8')))
        continue;
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const at = words.indexOf('--rank');
      if (at >= 0) found.set(Number(words[at + 1]), Number(name));
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}

export const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Updates that a run has logged. */
export function logged(run: string): number {
  const file = join(run, 'metrics.jsonl');
  if (!existsSync(file)) return 0;
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"loss"')).length;
}
