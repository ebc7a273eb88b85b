// A data set of 100 million images in 100,000 tars: how long a run takes to start, how much memory it takes, and that a
// run resumed in the middle gets the images that it would have got. The tars are empty files, and what they hold is
// made up; the counts, the order and the windows are those of training.
//
//   npx tsx scripts/check/shard-scale.ts [--shards 100000] [--images 1000]

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BatchPosition } from '../../src/data/order.ts';
import { imageCounts } from '../../src/data/shards/image-counts.ts';
import { ShardedImages } from '../../src/data/shards/images.ts';

const MAX_SECONDS = 10;
const MAX_BYTES = 500e6;
/** Images that are shuffled together: the default of `data.shuffle.buffer`. */
const BUFFER = 16_384;
const TURNS = 40_000;

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '100000' },
    images: { type: 'string', default: '1000' },
    /** The folder of the tars, in the process that is measured. */
    folder: { type: 'string' },
  },
});
const [shards, images] = [Number(values.shards), Number(values.images)];

const pathsIn = (folder: string): string[] =>
  Array.from({ length: shards }, (_, i) => join(folder, 'tars', `${String(i).padStart(6, '0')}.tar`));

/** Opens the data set in `folder`, whose shards are not read; `count` is only called for the first index. */
async function open(folder: string, count: () => number): Promise<ShardedImages> {
  const paths = pathsIn(folder);
  const counts = await imageCounts(paths, { cache: folder, count: async () => count() });
  const parts = paths.map((path, shard) => ({
    path,
    read: async () => ({
      images: Array.from({ length: counts[shard] as number }, (_, i) => ({
        key: `${shard}/${i}`,
        path: `${path}/${i}.jpg`,
        captions: [`image ${i} of shard ${shard}`],
        region: { path, offset: i * 1024, length: 1000 },
      })),
      close: async () => {},
    }),
  }));
  return new ShardedImages(folder, parts, { counts, buffer: BUFFER, isTrained: () => true });
}

async function keys(set: ShardedImages, position: BatchPosition, count: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { images: around, index } of set.turns(0, position)) {
    found.push(around[index]?.key as string);
    if (found.length === count) break;
  }
  return found;
}

function fail(): number {
  throw new Error('a shard was counted again');
}

if (values.folder !== undefined) {
  const began = performance.now();
  const set = await open(values.folder, fail);
  await keys(set, { epoch: 0, index: 0 }, 32);
  const seconds = (performance.now() - began) / 1000;
  const bytes = process.resourceUsage().maxRSS * 1024;
  console.log(JSON.stringify({ seconds, bytes }));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'mm-shard-scale-'));
  try {
    mkdirSync(join(folder, 'tars'));
    for (const path of pathsIn(folder)) writeFileSync(path, '');
    const set = await open(folder, () => images);
    const self = fileURLToPath(import.meta.url);
    const flags = ['--shards', `${shards}`, '--images', `${images}`, '--folder', folder];
    const printed = execFileSync(process.execPath, ['--import', 'tsx', self, ...flags], { encoding: 'utf8' });
    const { seconds, bytes } = JSON.parse(printed) as { seconds: number; bytes: number };
    console.log(`${(shards * images).toLocaleString('en')} images in ${shards.toLocaleString('en')} shards`);
    console.log(`start-up to the first batch: ${seconds.toFixed(2)} s, at most ${MAX_SECONDS}`);
    console.log(`memory: ${(bytes / 1e6).toFixed(0)} MB, at most ${MAX_BYTES / 1e6}`);
    let isSame = true;
    for (const middle of [TURNS / 2, Math.floor((shards * images) / 2), shards * images - 100]) {
      const before = { epoch: 0, index: middle - TURNS / 2 };
      const whole = await keys(set, before, TURNS);
      const resumed = await keys(set, { epoch: 0, index: middle }, TURNS / 2);
      const isEqual = JSON.stringify(whole.slice(TURNS / 2)) === JSON.stringify(resumed);
      console.log(
        `resumed at image ${middle.toLocaleString('en')}: ${isEqual ? 'the same images' : 'OTHER IMAGES'}`,
      );
      isSame &&= isEqual;
    }
    if (seconds > MAX_SECONDS || bytes > MAX_BYTES || !isSame) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
