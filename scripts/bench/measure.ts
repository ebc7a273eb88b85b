// Runs a bench: its sides in turn, with their progress on stderr.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { readRate } from './ceilings.ts';
import { inTurn } from './in-turn.ts';
import { type BenchReport, report } from './report.ts';

/** @param peak floating-point operations a second that the machine reaches, for shares of it */
export async function measure(bench: Bench, peak?: number): Promise<BenchReport> {
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
    const bytes = bench.bytes?.();
    const read = bytes === undefined ? undefined : await readRate(bytes);
    return await report(bench, turns, { flops: peak, read });
  } finally {
    await rm(folder, { recursive: true });
  }
}
