// Runs benches: the sides of each in turn, with their progress on stderr and their tables on stdout.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../../src/util/files.ts';
import type { Bench } from './bench.ts';
import { readRate } from './ceilings.ts';
import { inTurn } from './in-turn.ts';
import type { Machine } from './machine.ts';
import { type BenchReport, report, table } from './report.ts';

export interface Records {
  /** A JSON file of the reports so far, written after each bench. */
  readonly file: string | undefined;
  readonly machine: Machine;
  readonly quick?: boolean;
  /** Floating-point operations a second that the machine reaches, for shares of it. */
  readonly peakFlops?: number | undefined;
}

/** Runs benches one after the other. */
export async function measureAll(benches: readonly Bench[], { file, ...about }: Records): Promise<void> {
  const reports: BenchReport[] = [];
  for (const bench of benches) {
    const result = await measure(bench, about.peakFlops);
    reports.push(result);
    console.log(table(result));
    if (file) await writeFileAtomic(file, `${JSON.stringify({ ...about, reports }, undefined, 2)}\n`);
  }
}

async function measure(bench: Bench, peak: number | undefined): Promise<BenchReport> {
  const folder = await mkdtemp(join(tmpdir(), 'mm-bench-'));
  try {
    const turns = await inTurn(await bench.sides(folder), {
      ...bench,
      onTurn: (name, round, { milliseconds }) =>
        console.error(
          `${bench.name}, round ${round}, ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`,
        ),
    });
    bench.compare?.(turns);
    const reads = bench.reads?.();
    const read = reads && (await readRate(reads.bytes));
    return await report(bench, turns, { flops: peak, read });
  } finally {
    await rm(folder, { recursive: true });
  }
}
