// Damaged data sets in any number, JPEG files decoded as in training: none may crash, hang, or take memory without bound.
//
//   npx tsx scripts/check/mutations.ts [COUNT] [FIRST SEED]
//
// 20,000 by default. Prints how they end, the slowest, and the most memory; ends with 1 at the first that must not be.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeReducedJpeg, type JpegDecoder } from '../../src/data/reduced-jpeg.ts';
import { mutationSeeds } from '../../test/support/mutation-seeds.ts';
import { type MutationResult, mutate } from '../../test/support/mutations.ts';

const [count, first] = [Number(process.argv[2] ?? 20_000), Number(process.argv[3] ?? 0)];
const MAX_MEMORY = 2 ** 30;
const root = await mkdtemp(join(tmpdir(), 'mm-mutations-'));
const seeds = await mutationSeeds();
// libtensorflow is loaded from the cache before that of the check takes its place.
await decodeReducedJpeg(seeds['half.jpg'] as Buffer, 1);
process.env.MM_CACHE = join(root, 'cache');
let decoded = 0;
const jpeg: JpegDecoder = async (data, ratio) => {
  const image = await decodeReducedJpeg(data, ratio);
  if (image) decoded++;
  return image;
};
const ends = new Map<string, number>();
let slowest: MutationResult | undefined;
let memory = 0;
try {
  for (let seed = first; seed < first + count; seed++) {
    const result = await mutate(seed, join(root, 'data'), seeds, jpeg);
    const end = result.error ?? (result.faults > 0 ? 'read, with faults' : 'read');
    ends.set(end, (ends.get(end) ?? 0) + 1);
    if (result.ms > (slowest?.ms ?? 0)) slowest = result;
    memory = Math.max(memory, process.memoryUsage.rss());
    if (memory > MAX_MEMORY) throw new Error(`seed ${seed}, ${result.what}: ${memory} bytes of memory`);
  }
} finally {
  await rm(root, { recursive: true });
}
for (const [end, times] of [...ends].sort(([, a], [, b]) => b - a))
  console.log(`${String(times).padStart(7)}  ${end}`);
console.log(`${decoded} JPEG files decoded by libtensorflow`);
console.log(`slowest ${slowest?.ms.toFixed(0)} ms: ${slowest?.what}`);
console.log(`most memory ${(memory / 2 ** 20).toFixed(0)} MB`);
