// The figures of a bench, and their table.

import type { Bench } from './bench.ts';
import { ratio, type Spread, spread, type Turn } from './in-turn.ts';

export interface SideReport {
  readonly name: string;
  /** Of a step. */
  readonly milliseconds: Spread;
  readonly itemsPerSecond: number;
  /** mm's time over this side's, round by round; 1 for mm. */
  readonly mmTakes: Spread;
  readonly bar: number | undefined;
  readonly peakMegabytes: number | undefined;
  /** Shares of the measured ceilings. */
  readonly ofPeakFlops: number | undefined;
  readonly ofReadRate: number | undefined;
  /** Of the values that steps returned, where the bench says what they mean. */
  readonly value: number | undefined;
}

export interface BenchReport {
  readonly name: string;
  readonly about: string;
  readonly unit: string;
  readonly value: string | undefined;
  readonly sides: readonly SideReport[];
}

export interface Ceilings {
  readonly flops: number | undefined;
  /** For as many bytes as the bench reads at a time. */
  readonly read: number | undefined;
}

export async function report(
  bench: Bench,
  turns: Readonly<Record<string, readonly Turn[]>>,
  ceilings: Ceilings,
): Promise<BenchReport> {
  const [flops, reads] = [await bench.flops?.(), bench.reads?.()];
  const mm = turns.mm as readonly Turn[];
  const sides = Object.entries(turns).map(([name, own]) => {
    const timed = own.slice(1);
    const milliseconds = spread(timed.flatMap((turn) => turn.milliseconds));
    const seconds = milliseconds.median / 1000;
    const share = (amount: number | undefined, ceiling: number | undefined): number | undefined =>
      amount === undefined || ceiling === undefined ? undefined : amount / seconds / ceiling;
    return {
      name,
      milliseconds,
      itemsPerSecond: bench.items / seconds,
      mmTakes: ratio(mm, own),
      bar: bench.bars?.[name],
      peakMegabytes: own.at(-1)?.peakMegabytes,
      ofPeakFlops: share(flops, ceilings.flops),
      ofReadRate: share(reads && reads.bytes * reads.times, ceilings.read),
      value: bench.value === undefined ? undefined : spread(timed.flatMap(({ values }) => values)).median,
    };
  });
  return { name: bench.name, about: bench.about, unit: bench.unit, value: bench.value, sides };
}

const percent = (share: number | undefined): string =>
  share === undefined ? '–' : `${(100 * share).toFixed(0)} %`;

/** Rows of a Markdown table, which is also legible in a terminal. */
export function table({ name, about, unit, value, sides }: BenchReport): string {
  const rows = sides.map((side) => {
    const { median, min, max } = side.milliseconds;
    const { mmTakes, bar } = side;
    const verdict = mmTakes.median <= (bar ?? 0) ? 'held' : 'missed';
    const held = bar === undefined ? '' : ` (bar ${digits(bar)}, ${verdict})`;
    return [
      side.name,
      `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`,
      side.itemsPerSecond.toFixed(side.itemsPerSecond < 100 ? 1 : 0),
      side.name === 'mm'
        ? '1'
        : `${digits(mmTakes.median)} (${digits(mmTakes.min)}–${digits(mmTakes.max)})${held}`,
      side.peakMegabytes?.toFixed(0) ?? '–',
      percent(side.ofPeakFlops),
      percent(side.ofReadRate),
      ...(value === undefined ? [] : [side.value?.toFixed(2) ?? '–']),
    ];
  });
  const titles = [
    'side',
    'ms a step',
    `${unit}/s`,
    "mm takes, of this side's time",
    'peak MB',
    'of the peak of products',
    'of the reading rate',
    ...(value === undefined ? [] : [value]),
  ];
  const cells = [titles, titles.map(() => '---'), ...rows];
  return [`${name}: ${about}`, '', ...cells.map((row) => `| ${row.join(' | ')} |`), ''].join('\n');
}

const digits = (ratio: number): string => ratio.toFixed(ratio < 0.2 ? 3 : 2);
