// A run of mm train-clip repeats itself, bit for bit, also when it is interrupted.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { testRepeats } from '../../../support/repeat.ts';
import { writeImages } from '../../../support/tiny-dvae.ts';
import { clipConfig, clipSession, writeTokenizer } from '../../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-repeat-'));
const data = join(root, 'images');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeImages(data, 14);
  await writeTokenizer(tokenizer, data);
});
after(() => rmSync(root, { recursive: true }));

testRepeats(root, [
  {
    name: 'train-clip',
    session: (seed) => clipSession(clipConfig({ path: data, tokenizer }, { seed })),
    stops: [
      { label: 'train-clip', at: 0 },
      { label: 'train-clip', at: 4 },
      { label: 'train-clip', at: 7 },
    ],
  },
  {
    name: 'train-clip in chunks',
    session: (seed) =>
      clipSession(clipConfig({ path: data, tokenizer }, { seed, train: { gradCacheChunk: 2 } })),
    stops: [{ label: 'train-clip', at: 5 }],
  },
  {
    name: 'train-clip, a ResNet',
    session: (seed) =>
      clipSession(
        clipConfig(
          { path: data, tokenizer },
          { seed, model: { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } } },
        ),
      ),
    stops: [{ label: 'train-clip', at: 5 }],
  },
]);
