// Times programs against each other fairly on a shared machine: each is a separate process, they run a few steps in
// turn (A B A B …) while the others wait, and the result is the ratio within a round.

import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from './worker.ts';

/** A program to time. Its module calls `serve`. */
export interface Contestant {
  readonly name: string;
  readonly module: URL;
  readonly args?: readonly string[];
  /** Set for its process, over this one's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One contestant's steps in one round. */
export interface Turn {
  readonly milliseconds: readonly number[];
  /** What the steps returned, to check that both sides do the same work. */
  readonly values: readonly number[];
  /** Most memory the side ever had resident, after this turn; undefined where /proc does not say. */
  readonly peakMegabytes?: number | undefined;
  /** Processor time of the steps, that of its child processes included; undefined where /proc does not say. */
  readonly processorMilliseconds?: number | undefined;
}

type Run = (step: number) => Promise<number>;

export interface InTurnOptions {
  readonly rounds: number;
  /** Steps of a contestant in one round. */
  readonly steps: number;
  /** Steps of a contestant before the first round; they are the turn numbered 0. */
  readonly warmup: number;
  /** Start a contestant for each of its turns, with the warm-up, and end it afterwards: for want of memory for all. */
  readonly apart?: boolean;
  /** Called after each turn. */
  readonly onTurn?: (name: string, round: number, turn: Turn) => void;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * Runs in a contestant's process: prepares, then answers each request for steps. `step` counts from 0. `pid` is the
 * process whose memory counts, where it is another.
 */
export async function serve(
  prepare: () => Promise<Run | { readonly run: Run; readonly pid: number }>,
): Promise<void> {
  const prepared = await prepare();
  const { run, pid } = typeof prepared === 'function' ? { run: prepared, pid: process.pid } : prepared;
  let done = 0;
  process.on('message', async ({ steps }: { steps: number }) => {
    const milliseconds: number[] = [];
    const values: number[] = [];
    const before = processorMilliseconds(pid);
    for (const end = done + steps; done < end; done++) {
      const start = performance.now();
      values.push(await run(done));
      milliseconds.push(performance.now() - start);
    }
    const after = processorMilliseconds(pid);
    process.send?.({
      ...{ milliseconds, values, peakMegabytes: megabytes(pid, 'VmHWM') },
      processorMilliseconds: before === undefined || after === undefined ? undefined : after - before,
    } satisfies Turn);
  });
  process.send?.('ready');
}

/** What /proc says of a process's memory, now (VmRSS) or at most (VmHWM); undefined where there is no /proc. */
export function megabytes(pid: number, what: 'VmRSS' | 'VmHWM'): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [, kilobytes] = new RegExp(`${what}:\\s+(\\d+)`).exec(status) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  } catch {
    return undefined;
  }
}

/** Ticks of the clock that /proc counts in. */
const TICK_MS = 10;

/** Processor time that a process and its children have taken so far; undefined where there is no /proc. */
function processorMilliseconds(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
    );
    const own = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    return children.reduce((sum, child) => sum + (processorMilliseconds(Number(child)) ?? 0), own);
  } catch {
    return undefined;
  }
}

/** Times the contestants in turn: each one's turns, the warm-up first. */
export async function inTurn<Name extends string>(
  contestants: readonly (Contestant & { readonly name: Name })[],
  { rounds, steps, warmup, apart = false, onTurn }: InTurnOptions,
): Promise<Record<Name, Turn[]>> {
  const turns = Object.fromEntries(contestants.map(({ name }) => [name, []])) as unknown as Record<
    Name,
    Turn[]
  >;
  const workers = new Map<Name, Worker>();
  const start = async ({ name, module, args, env }: Contestant & { readonly name: Name }): Promise<void> => {
    const worker = new Worker(name, module, args, env);
    workers.set(name, worker);
    await worker.receive();
  };
  const take = async (name: Name, round: number): Promise<void> => {
    const worker = workers.get(name) as Worker;
    worker.send({ steps: round === 0 ? warmup : steps });
    const turn = await worker.receive<Turn>();
    // Of the warm-ups of a side that starts again, the first one is kept.
    if (round > 0 || turns[name].length === 0) turns[name].push(turn);
    onTurn?.(name, round, turn);
  };
  try {
    if (!apart) for (const contestant of contestants) await start(contestant);
    for (let round = apart ? 1 : 0; round <= rounds; round++) {
      for (const contestant of contestants) {
        const { name } = contestant;
        if (apart) {
          await start(contestant);
          await take(name, 0);
        }
        await take(name, round);
        if (apart) await workers.get(name)?.end();
      }
    }
  } finally {
    for (const worker of workers.values()) worker.release();
  }
  return turns;
}

/** Median, least and greatest of `numbers`. */
export function spread(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (i: number): number => sorted[i] as number;
  const half = sorted.length / 2;
  const median = sorted.length % 2 ? at(Math.floor(half)) : (at(half - 1) + at(half)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** How many times as long `a` takes as `b`, round by round; the warm-up does not count. */
export function ratio(a: readonly Turn[], b: readonly Turn[]): Spread {
  const time = (turn: Turn | undefined): number => spread(turn?.milliseconds ?? []).median;
  return spread(a.slice(1).map((turn, i) => time(turn) / time(b[i + 1])));
}
