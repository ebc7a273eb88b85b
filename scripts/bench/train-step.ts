// A train step of the same Transformer: recorded by mm's engine against eager tfjs on tfjs-node's native addon,
// run in turn. Needs what stock-addon.ts needs.
//
//   node --import tsx scripts/bench/train-step.ts [--rounds 8] [--steps 3] [--headers FOLDER|WHEEL] [--json]

import { parseArgs } from 'node:util';
import { inTurn, ratio, type Spread, spread, type Turn } from './in-turn.ts';
import { count, runScript } from './script.ts';
import { stockAddon } from './stock-addon.ts';
import { TOKENS_PER_STEP } from './transformer.ts';

const WARMUP = 3;
/** Same weights and batches: the losses may drift apart by rounding only. */
const LOSS_TOLERANCE = 1e-4;

interface Report {
  readonly stepMilliseconds: { readonly mm: Spread; readonly stock: Spread };
  readonly tokensPerSecond: { readonly mm: number; readonly stock: number };
  /** How many times as long a stock step takes. */
  readonly stockOverMm: Spread;
  readonly losses: { readonly first: number; readonly last: number; readonly greatestDifference: number };
}

const timed = (turns: readonly Turn[]): Spread => spread(turns.slice(1).flatMap((turn) => turn.milliseconds));

function report({ mm, stock }: { mm: Turn[]; stock: Turn[] }): Report {
  const stepMilliseconds = { mm: timed(mm), stock: timed(stock) };
  const perSecond = ({ median }: Spread): number => (TOKENS_PER_STEP / median) * 1000;
  return {
    stepMilliseconds,
    tokensPerSecond: { mm: perSecond(stepMilliseconds.mm), stock: perSecond(stepMilliseconds.stock) },
    stockOverMm: ratio(stock, mm),
    losses: compareLosses(mm, stock),
  };
}

function compareLosses(mm: readonly Turn[], stock: readonly Turn[]): Report['losses'] {
  const [ours, theirs] = [mm, stock].map((turns) => turns.flatMap((turn) => turn.values)) as [
    number[],
    number[],
  ];
  const greatestDifference = Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] as number))));
  if (!(greatestDifference <= LOSS_TOLERANCE))
    throw new Error(`the two sides do not train the same model: losses ${ours} against ${theirs}`);
  return { first: ours[0] as number, last: ours[ours.length - 1] as number, greatestDifference };
}

function print({ stepMilliseconds, tokensPerSecond, stockOverMm, losses }: Report): void {
  const show = ({ median, min, max }: Spread, digits: number): string =>
    `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
  for (const side of ['mm', 'stock'] as const) {
    const speed = tokensPerSecond[side].toFixed(0);
    console.log(`${side.padEnd(6)} ${show(stepMilliseconds[side], 0)} ms a step, ${speed} tokens/s`);
  }
  console.log(`stock takes ${show(stockOverMm, 2)} times as long as mm`);
  console.log(
    `losses ${losses.first.toFixed(4)} to ${losses.last.toFixed(4)}, apart by ${losses.greatestDifference.toExponential(1)} at most`,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '8' },
      steps: { type: 'string', default: '3' },
      headers: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const addon = await stockAddon({ headers: values.headers });
  const turns = await inTurn(
    [
      { name: 'mm', module: new URL('train-step-mm.ts', import.meta.url) },
      { name: 'stock', module: new URL('train-step-stock.ts', import.meta.url), args: [addon] },
    ],
    {
      rounds: count('--rounds', values.rounds),
      steps: count('--steps', values.steps),
      warmup: WARMUP,
      onTurn: (name, round, { milliseconds }) =>
        console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
    },
  );
  const result = report(turns);
  if (values.json) console.log(JSON.stringify(result));
  else print(result);
}

await runScript(main);
