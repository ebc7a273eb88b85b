// The published dVAE's layers against PyTorch (the `dall_e` package, channels-last), taken in turn.
//
//   node --import tsx scripts/bench/dvae-step.ts train [--hidden 64] [--size 128] [--batch 4] [--vocabulary 1024]
//       a whole train step: encoder, Gumbel-softmax, decoder, logit-Laplace and KL, gradients, AdamW
//   node --import tsx scripts/bench/dvae-step.ts tokenize [--images 64] …
//       JPEG files of 500 × 375 to codes: reading, decoding, resizing, cropping, encoding
//   both: [--rounds 6] [--steps 3] [--json]
//
// Python is that of the virtual environment MM_PEERS, ~/.cache/mm-peers by default.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '../../src/util/errors.ts';
import { writeNoise } from './dvae-images.ts';
import { inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { count, peersPython, runScript } from './script.ts';

const WARMUP = 2;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      hidden: { type: 'string', default: '64' },
      size: { type: 'string', default: '128' },
      batch: { type: 'string' },
      vocabulary: { type: 'string', default: '1024' },
      images: { type: 'string', default: '64' },
      rounds: { type: 'string', default: '6' },
      steps: { type: 'string', default: '3' },
      json: { type: 'boolean' },
    },
  });
  const [what] = positionals;
  if (what !== 'train' && what !== 'tokenize')
    throw new UsageError('choose a benchmark: train or tokenize', {
      code: 'E_ARGUMENT',
      where: 'dvae-step.ts',
    });
  const batch = values.batch ?? (what === 'train' ? '4' : '32');
  for (const flag of ['hidden', 'size', 'vocabulary', 'images', 'rounds', 'steps'] as const)
    count(`--${flag}`, values[flag]);
  const folder = await mkdtemp(join(tmpdir(), 'mm-dvae-bench-'));
  try {
    const images = count('--images', values.images);
    if (what === 'tokenize') await writeNoise(folder, images);
    const args = [what, values.hidden, values.size, batch, values.vocabulary, folder];
    const turns = await inTurn(
      [
        { name: 'mm', module: new URL('dvae-step-mm.ts', import.meta.url), args },
        {
          name: 'PyTorch',
          module: new URL('python-side.ts', import.meta.url),
          args: [peersPython(), 'dvae_step.py', ...args],
        },
      ],
      {
        rounds: Number(values.rounds),
        steps: Number(values.steps),
        warmup: WARMUP,
        onTurn: (name, round, { milliseconds }) =>
          console.error(`round ${round} ${name}: ${milliseconds.map((ms) => ms.toFixed(0)).join(' ')} ms`),
      },
    );
    const items = what === 'train' ? Number(batch) : images;
    const report = {
      what,
      mm: side(turns.mm, items),
      PyTorch: side(turns.PyTorch, items),
      /** How many times as long mm takes, round by round. */
      mmOverPyTorch: ratio(turns.mm, turns.PyTorch),
      ...(what === 'tokenize' && { graphBusy: spread(turns.mm.slice(1).flatMap(({ values }) => values)) }),
    };
    if (values.json) console.log(JSON.stringify(report));
    else print(report);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function side(turns: readonly Turn[], items: number) {
  const milliseconds = spread(turns.slice(1).flatMap((turn) => turn.milliseconds));
  return {
    milliseconds,
    imagesPerSecond: (items * 1000) / milliseconds.median,
    peakMegabytes: turns.at(-1)?.peakMegabytes,
  };
}

function print({
  mm,
  PyTorch,
  mmOverPyTorch,
  graphBusy,
}: {
  mm: ReturnType<typeof side>;
  PyTorch: ReturnType<typeof side>;
  mmOverPyTorch: ReturnType<typeof spread>;
  graphBusy?: ReturnType<typeof spread>;
}): void {
  for (const [name, { milliseconds, imagesPerSecond, peakMegabytes }] of Object.entries({ mm, PyTorch })) {
    const { median, min, max } = milliseconds;
    console.log(
      `${name.padEnd(8)} ${median.toFixed(0)} ms (${min.toFixed(0)} to ${max.toFixed(0)}), ${imagesPerSecond.toFixed(1)} images/s, ${peakMegabytes?.toFixed(0) ?? '–'} MB at most`,
    );
  }
  const { median, min, max } = mmOverPyTorch;
  console.log(
    `mm takes ${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}) times as long as PyTorch`,
  );
  if (graphBusy) console.log(`mm's graph was busy ${(100 * graphBusy.median).toFixed(0)} % of the time`);
}

await runScript(main);
