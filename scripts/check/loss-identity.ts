// Whether a change of the code leaves every figure as it was, bit for bit: the metrics of twenty steps of each trainer,
// the weights, EMA and moments after them, codes, sampled images, ranks. Two minutes on two cores.
//
//   npx tsx scripts/check/loss-identity.ts --write before.json      at the commit before
//   npx tsx scripts/check/loss-identity.ts --against before.json    after the change
//
// The figures hold for one processor and one libtensorflow, so the file belongs to a machine and not into the
// repository. It ends with 1 where a figure differs. Names may change: a metric or a tensor with another name and the
// values of the old one is told as renamed, and is no difference. Keys that a change renames in the configurations are
// renamed in scripts/check/loss-identity/*.yaml with it.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compare, type Difference } from './loss-identity/compare.ts';
import type { Figures } from './loss-identity/figures.ts';
import { mm, THREADS } from './loss-identity/program.ts';
import { record } from './loss-identity/record.ts';

interface Recorded {
  readonly processor: string;
  readonly libtensorflow: string;
  readonly threads: number;
  readonly commit: string;
  readonly figures: Record<string, Figures>;
}

/** Differences and new names that are listed; the others are counted. */
const SHOWN = 12;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

async function take(): Promise<Recorded> {
  const installed = await mm(ROOT, ['doctor']);
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    libtensorflow: /libtensorflow\s+(\d\S*)/.exec(installed)?.[1] ?? 'unknown',
    threads: THREADS,
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT, encoding: 'utf8' }).trim(),
    figures: await record((what) => process.stderr.write(`▸ ${what}\n`)),
  };
}

function list(rows: readonly string[]): void {
  for (const row of rows.slice(0, SHOWN)) console.log(`  ${row}`);
  if (rows.length > SHOWN) console.log(`  and ${rows.length - SHOWN} more`);
}

const describe = ({ of, name, before, after }: Difference): string =>
  `${of}  ${name}\n    before  ${before}\n    after   ${after}`;

function report(before: Recorded, after: Recorded): boolean {
  for (const key of ['processor', 'libtensorflow', 'threads'] as const)
    if (before[key] !== after[key])
      console.log(`warning: ${key} was ${before[key]}, and is ${after[key]}: figures may differ for that`);
  const { renamed, differences } = compare(before.figures, after.figures);
  if (renamed.length > 0) console.log(`${renamed.length} renamed:`);
  list(renamed.map(({ of, from, to }) => `${of}  ${from} → ${to}`));
  const count = Object.values(before.figures).flatMap((figures) => Object.values(figures).flat()).length;
  const sides = `${before.commit} and ${after.commit}`;
  if (differences.length === 0) console.log(`identical: ${count} figures of ${sides}`);
  else console.log(`${differences.length} series differ between ${sides}; where each does first:`);
  list(differences.map(describe));
  return differences.length === 0;
}

const { values } = parseArgs({ options: { write: { type: 'string' }, against: { type: 'string' } } });
if ((values.write === undefined) === (values.against === undefined))
  throw new Error('give either --write FILE or --against FILE');
// Read first: a file that is not there need not cost two minutes.
const before =
  values.against === undefined ? undefined : (JSON.parse(readFileSync(values.against, 'utf8')) as Recorded);
const recorded = await take();
if (values.write !== undefined) writeFileSync(values.write, `${JSON.stringify(recorded, null, 1)}\n`);
if (before && !report(before, recorded)) process.exitCode = 1;
