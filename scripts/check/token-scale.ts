// Memory of token shards at two sizes: an epoch of training's turns, and `mm data check`, each in its own process. It
// must not grow with the data set, but for a record of each shard and what data check keeps (docs/DATA.md).
//
//   npx tsx scripts/check/token-scale.ts [--shards 100] [--factor 4]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkTokens } from '../../src/data/check/check-tokens.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { TokenFolder } from '../../src/data/tokens/folder.ts';
import { sha256 } from '../../src/data/tokens/manifest.ts';
import { readFinishedManifest } from '../../src/data/tokens/read.ts';
import { shardedTokens } from '../../src/train/dalle/sharded-tokens.ts';
import { RandomStream } from '../../src/util/random.ts';

const [SHARD, GRID, BUFFER] = [250, 16, 2000];
/** Growth of the memory that is allowed when the data set grows by the factor. */
const MAX_GROWTH = 1.25;

const { values } = parseArgs({
  options: {
    shards: { type: 'string', default: '100' },
    factor: { type: 'string', default: '4' },
    /** The folder and the work, in the process that is measured. */
    folder: { type: 'string' },
    work: { type: 'string' },
  },
});

async function fill(path: string, shards: number): Promise<void> {
  const random = new RandomStream('token scale');
  const layout = { dvae: sha256('d'), imageSize: 128, grid: GRID, vocabulary: 8192, shardSize: SHARD };
  const folder = await TokenFolder.open(
    path,
    { ...layout, source: sha256('s') },
    { resume: false, warn: console.warn, images: shards * SHARD },
  );
  for (let shard = 0; shard < shards; shard++) {
    const samples = Array.from({ length: SHARD }, (_, i) => ({
      ...{
        index: shard * SHARD + i,
        key: `${shard}/${i}`,
        file: `${shard}.tar/${i}.jpg`,
        rows: GRID,
        columns: GRID,
      },
      captions: [`image ${i} of shard ${shard}`],
      codes: Uint16Array.from({ length: GRID ** 2 }, () => random.integer(8192)),
    }));
    await folder.write(shard, samples, []);
  }
  await folder.finish();
}

async function epoch(path: string): Promise<void> {
  const manifest = await readFinishedManifest(path);
  const set = shardedTokens(path, manifest, { share: 0, buffer: BUFFER, faults: new Faults() });
  let taken = 0;
  for await (const _ of set.turns(0)) if (++taken === set.count) break;
}

if (values.folder !== undefined) {
  if (values.work === 'train') await epoch(values.folder);
  else await checkTokens(values.folder, { textLength: 256 });
  console.log(process.resourceUsage().maxRSS * 1024);
} else {
  const root = mkdtempSync(join(tmpdir(), 'mm-token-scale-'));
  try {
    const small = Number(values.shards);
    const sizes = [small, small * Number(values.factor)];
    for (const shards of sizes) await fill(join(root, `${shards}`), shards);
    for (const work of ['train', 'check']) {
      const bytes = sizes.map((shards) => {
        const flags = ['--folder', join(root, `${shards}`), '--work', work];
        const self = fileURLToPath(import.meta.url);
        const command = ['--max-old-space-size=256', '--import', 'tsx', self, ...flags];
        return Number(execFileSync(process.execPath, command, { encoding: 'utf8' }));
      });
      const text = sizes.map(
        (shards, i) => `${shards * SHARD} images: ${((bytes[i] as number) / 1e6).toFixed(0)} MB`,
      );
      console.log(`${work}: ${text.join(', ')}`);
      if (work === 'train' && (bytes[1] as number) > MAX_GROWTH * (bytes[0] as number)) process.exitCode = 1;
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}
