// A run of mm train-dalle repeats itself, bit for bit, also when it is interrupted.

import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { testRepeats } from '../../../support/repeat.ts';
import { writeImages, writeTinyDvae } from '../../../support/tiny-dvae.ts';
import { dalleConfig, dalleSession, writeTokenizer } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-repeat-'));
const data = join(root, 'images');
const tokenizer = join(root, 'tokenizer.json');
const dvae = join(root, 'dvae');
const captioned = { path: data, dvae, tokenizer };
const several = { ...captioned, path: join(root, 'several') };
before(async () => {
  await writeImages(data, 14);
  await writeImages(several.path, 14);
  for (const name of readdirSync(several.path, { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.txt')) appendFileSync(join(several.path, name), 'red\nblue\n');
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, data);
});
after(() => rmSync(root, { recursive: true }));

const MUON = { kind: 'muon', learningRate: { peak: 3e-3, warmup: 3 }, weightDecay: 0.01, clipNorm: 1 };

testRepeats(root, [
  {
    name: 'train-dalle',
    session: (seed) => dalleSession(dalleConfig(captioned, seed)),
    stops: [
      { label: 'train-dalle', at: 0 },
      { label: 'train-dalle', at: 4 },
      { label: 'train-dalle', at: 7 },
    ],
  },
  {
    name: 'train-dalle in parts, in float16 with scales that overflow, with dropout, recomputed, on plateaus',
    session: (seed) =>
      dalleSession(
        dalleConfig(captioned, seed, {
          accumulateSteps: 2,
          precision: 'float16',
          blockLossScale: { start: 2 ** 24 },
          dropout: { attention: 0.1, feedForward: 0.1 },
          recompute: 'full',
          plateau: { patience: 1, threshold: 10 },
        }),
      ),
    stops: [{ label: 'train-dalle', at: 7 }],
  },
  {
    name: 'train-dalle by Muon, with several captions of each image',
    session: (seed) => dalleSession(dalleConfig(several, seed, { optimizer: MUON })),
    stops: [{ label: 'train-dalle', at: 7 }],
  },
]);
