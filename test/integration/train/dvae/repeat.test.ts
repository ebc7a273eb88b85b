// A run of mm train-dvae repeats itself, bit for bit, also when it is interrupted.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { testRepeats } from '../../../support/repeat.ts';
import { writeImages } from '../../../support/tiny-dvae.ts';
import { dvaeConfig, dvaeSession, WARM_START } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-repeat-'));
const data = join(root, 'images');
before(async () => {
  await writeImages(data, 14);
});
after(() => rmSync(root, { recursive: true }));

testRepeats(root, [
  {
    name: 'train-dvae',
    session: (seed) => dvaeSession(dvaeConfig(data, seed)),
    stops: [
      { label: 'train-dvae', at: 0 },
      { label: 'train-dvae', at: 4 },
      { label: 'train-dvae', at: 7 },
    ],
  },
  {
    name: 'train-dvae with a warm start',
    session: (seed) => dvaeSession(dvaeConfig(data, seed, { warmStart: WARM_START })),
    stops: [
      { label: 'train-dvae: warm start', at: 2 },
      { label: 'train-dvae', at: 1 },
    ],
  },
  {
    name: 'train-dvae in float16, its loss scale overflowing and growing, dead codes revived',
    session: (seed) =>
      dvaeSession(
        dvaeConfig(data, seed, {
          precision: 'float16',
          lossScale: { start: 2 ** 30, growEvery: 2 },
          codebook: { revive: { every: 4 } },
        }),
      ),
    stops: [{ label: 'train-dvae', at: 5 }],
  },
]);
