// A failure of one worker, and what must hold after it.

import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { RunCheckpoints } from '../../../src/checkpoint/run-checkpoints.ts';
import { EXIT } from '../../../src/util/errors.ts';
import { lasting } from '../../../test/support/tiny-runs.ts';
import { type Command, isAlive, launched, logged, oneByOne, type Training, workersOf } from './processes.ts';

export const KINDS = ['kill', 'stop', 'disk'] as const;
export type Kind = (typeof KINDS)[number];

export interface Failure {
  readonly kind: Kind;
  readonly rank: number;
  /** Updates logged before it; 0 for a time after worker 0 begins to wait for the others. */
  readonly updates: number;
  readonly afterMs: number;
  /** Under mm launch, or in processes started one by one. */
  readonly isLaunched: boolean;
}

export interface Outcome {
  /** From the failure to the end of the last process. */
  readonly seconds: number;
  readonly resumedFrom: string;
  readonly wrong: readonly string[];
}

export const MEBIBYTE = 2 ** 20;
/** Seconds that all get to end in, beyond the timeout. */
const GRACE_SECONDS = 2;
/** Milliseconds after which a process that does not end is given up. */
const GIVE_UP_MS = 60_000;
const POLL_MS = 10;
const FILLER = 'filler';
/** Worker 0 says this when it begins to wait for the others, which have started with it. */
export const WAITS = 'worker 0 is at';

/** Makes the failure happen, and starts the run again. Returns 'over' when the run ended before it. */
export async function fail(
  training: Training,
  failure: Failure,
  expected: Readonly<Record<string, string>>,
): Promise<Outcome | 'over'> {
  const { run, workers } = training;
  const { kind, rank, isLaunched } = failure;
  const isLost = kind !== 'disk';
  const commands = isLaunched ? [launched(training, ['--restarts', '1'])] : await oneByOne(training);
  const [first] = commands as [Command];
  const pids = await pidsOf(commands, isLaunched, workers);
  if (!(await reached(training, failure, first))) return over(commands);
  const before = await new RunCheckpoints(run).steps();
  const began = performance.now();
  happen(failure, pids.get(rank) as number, run);
  const wrong: string[] = [];
  // Processes started one by one have nobody to end the one that is stopped.
  const ending = [...pids]
    .filter(([of]) => isLaunched || kind !== 'stop' || of !== rank)
    .map(([, pid]) => pid);
  while (ending.some(isAlive) && performance.now() - began < GIVE_UP_MS) await setTimeout(POLL_MS);
  const seconds = (performance.now() - began) / 1000;
  if (ending.some(isAlive)) wrong.push('a process does not end');
  if (seconds > training.timeoutSeconds + GRACE_SECONDS) wrong.push(`ended after ${seconds.toFixed(2)} s`);
  if (!isLaunched && kind === 'stop') process.kill(pids.get(rank) as number, 'SIGKILL');
  const fromCheckpoint = await newest(run, before, isLost, wrong);
  rmSync(join(dirname(run), FILLER), { force: true });
  /** What each worker says, mm launch for all of them. */
  const said: [of: number, text: string][] = [];
  if (isLaunched && isLost) {
    const { code, stderr } = await first.end;
    said.push([0, stderr.slice(0, stderr.indexOf('restart 1 of 1'))]);
    if (!stderr.includes('restart 1 of 1')) wrong.push('not restarted');
    if (code !== EXIT.ok) wrong.push(`the restarted run ended with ${code}`);
  } else {
    const ends = await Promise.all(commands.map(({ end }) => end));
    for (const [of, { code, stderr }] of ends.entries()) {
      if (isLost && of === rank) continue;
      said.push([of, stderr]);
      if (code !== EXIT.data) wrong.push(`worker ${of} ended with ${code}`);
    }
    const again = await launched(training, [], existsSync(join(run, 'config.yaml')) ? ['--resume'] : []).end;
    if (again.code !== EXIT.ok) wrong.push(`started again: ${again.code}: ${again.stderr}`);
  }
  for (const [of, text] of said)
    if (!names(text, failure, of)) wrong.push(`worker ${rank} is not named by ${of}: ${text}`);
  const files = lasting(run);
  for (const name of new Set([...Object.keys(files), ...Object.keys(expected)]))
    if (files[name] !== expected[name]) wrong.push(`${name} differs`);
  return { seconds, resumedFrom: fromCheckpoint, wrong };
}

/** The processes of all workers by rank, once they are there. */
async function pidsOf(
  commands: readonly Command[],
  isLaunched: boolean,
  workers: number,
): Promise<Map<number, number>> {
  const [first] = commands as [Command];
  if (!isLaunched) return new Map(commands.map(({ child }, rank) => [rank, child.pid as number]));
  for (;;) {
    const pids = workersOf(first.child.pid as number);
    if (pids.size === workers) return pids;
    if (first.isOver) throw new Error(`mm launch ended: ${first.stderr}`);
    await first.sleep(POLL_MS);
  }
}

/** Waits for the failure's moment; false when the run ends before it. */
async function reached({ run }: Training, { updates, afterMs }: Failure, first: Command): Promise<boolean> {
  while (!first.isOver && !first.stderr.includes(WAITS)) await first.sleep(POLL_MS);
  while (!first.isOver && logged(run) < updates) await first.sleep(POLL_MS);
  await first.sleep(afterMs);
  return !first.isOver;
}

async function over(commands: readonly Command[]): Promise<'over'> {
  for (const { end } of commands) {
    const { code, stderr } = await end;
    if (code !== EXIT.ok) throw new Error(`a run without a failure ended with ${code}: ${stderr}`);
  }
  return 'over';
}

function happen({ kind }: Failure, pid: number, run: string): void {
  if (kind === 'disk') fill(dirname(run));
  else process.kill(pid, kind === 'kill' ? 'SIGKILL' : 'SIGSTOP');
}

/** Takes all that is left of a small disk. */
function fill(disk: string): void {
  for (let size = MEBIBYTE; size >= 1; size = Math.floor(size / 4)) {
    for (;;) {
      try {
        writeFileSync(join(disk, FILLER), Buffer.alloc(size), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        break;
      }
    }
  }
}

/** Whether the output of worker `of` says which worker was lost, or whose disk is full. */
const names = (text: string, { kind, rank }: Failure, of: number): boolean => {
  if (kind !== 'disk') return new RegExp(`workers? (\\d, )*${rank}\\b.*(lost|ended|join)`).test(text);
  return new RegExp(`^error: ${of === rank ? '' : `worker ${rank}: `}the disk is full`, 'm').test(text);
};

/** The newest checkpoint, which must be whole and no older than before the failure. */
async function newest(
  run: string,
  before: readonly number[],
  isLost: boolean,
  wrong: string[],
): Promise<string> {
  const warn = (message: string): void => void wrong.push(message);
  const checkpoint = await new RunCheckpoints(run).newest({ optimizer: true, warn });
  const last = before.at(-1);
  if (last !== undefined && (checkpoint?.state.step ?? -1) < last) wrong.push(`step ${last} is lost`);
  // A write that failed, unlike one that was killed, takes back what it has written.
  const folder = join(run, 'checkpoints');
  const left =
    !isLost && existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.tmp')) : [];
  if (left.length > 0) wrong.push(`left ${left}`);
  return checkpoint ? `step ${checkpoint.state.step}` : 'the start';
}
