// Memory at two sizes of data set, each in its own process: of `mm data check` on tars, of `mm data check` on a folder,
// whose names are in memory, and of `mm train-dalle` on tars, which encodes them into token shards. On tars it must not
// grow, but for what finds copies (docs/DATA.md).
//
//   npx tsx scripts/check/image-scale.ts [--images 9000] [--factor 3] [--work 'data check of tars']

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkData } from '../../src/data/check/check.ts';
import { ShardWriter } from '../../src/data/pack/shard-writer.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { encodePng } from '../../src/report/images/png.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { RandomStream } from '../../src/util/random.ts';
import { writeTinyDvae } from '../../test/support/tiny-dvae.ts';
import { dalleConfig, dalleSession } from '../../test/support/tiny-runs.ts';

const [SHARD, SIDE] = [1000, 8];
/** Growth of the memory that is allowed on tars when the data set grows by the factor. */
const MAX_GROWTH = 1.25;

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '9000' },
    factor: { type: 'string', default: '3' },
    work: { type: 'string' },
    /** The folder of the data, in the process that is measured. */
    folder: { type: 'string' },
  },
});

async function fill(root: string, images: number): Promise<void> {
  const random = new RandomStream('check scale');
  mkdirSync(join(root, 'tars'), { recursive: true });
  for (let from = 0; from < images; from += SHARD) {
    const folder = join(root, 'folder', `${from}`);
    mkdirSync(folder, { recursive: true });
    const shard = await ShardWriter.open(join(root, 'tars', `${String(from).padStart(8, '0')}.tar`));
    for (let i = from; i < from + SHARD; i++) {
      const pixels = Uint8Array.from({ length: SIDE ** 2 * 3 }, () => random.integer(256));
      const png = await encodePng(pixels, SIDE, SIDE);
      const caption = `image ${i} of word${random.integer(images)}`;
      await shard.add(`${i}`, { png, txt: caption });
      writeFileSync(join(folder, `${i}.png`), png);
      writeFileSync(join(folder, `${i}.txt`), caption);
    }
    await shard.finish();
  }
}

const WORKS: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'data check of tars': (folder) => check(join(folder, 'tars')),
  'data check of a folder': (folder) => check(join(folder, 'folder')),
  'train-dalle on tars': train,
};

async function check(path: string): Promise<void> {
  await checkData(path, { textLength: 256 });
}

async function train(folder: string): Promise<void> {
  await new Runtime().close(); // libtensorflow is in the cache, too
  process.env.MM_CACHE = join(folder, 'cache');
  const given = dalleConfig({
    path: join(folder, 'tars'),
    dvae: join(folder, 'dvae'),
    tokenizer: tokenizerIn(folder),
  });
  const shuffle = { whole: SHARD, buffer: SHARD };
  const config = { ...given, data: { ...given.data, shuffle, truncateCaptions: true } };
  await dalleSession(config)(join(folder, 'run'));
}

const tokenizerIn = (folder: string): string => join(folder, 'tokenizer.json');

if (values.folder !== undefined) {
  await WORKS[values.work as string]?.(values.folder);
  console.log(process.resourceUsage().maxRSS * 1024);
} else {
  const root = mkdtempSync(join(tmpdir(), 'mm-image-scale-'));
  try {
    const small = Number(values.images);
    const sizes = [small, small * Number(values.factor)];
    for (const images of sizes) {
      const folder = join(root, `${images}`);
      await fill(folder, images);
      await writeTinyDvae(join(folder, 'dvae'));
      await (await trainBpe(['image of word'], { vocabulary: 264 })).save(tokenizerIn(folder));
    }
    for (const work of Object.keys(WORKS).filter((name) => (values.work ?? name) === name)) {
      const [before, after] = sizes.map((images) => {
        const self = fileURLToPath(import.meta.url);
        const flags = ['--folder', join(root, `${images}`), '--work', work];
        // A small heap, so that what could be freed is.
        const heap = ['--max-old-space-size=160', '--max-semi-space-size=2'];
        const bytes = Number(
          execFileSync(process.execPath, [...heap, '--import', 'tsx', self, ...flags], { encoding: 'utf8' }),
        );
        console.log(`${work}, ${images} images: ${(bytes / 1e6).toFixed(0)} MB`);
        return bytes;
      }) as [number, number];
      const each = (after - before) / ((sizes[1] as number) - small);
      console.log(`${work}: ${each.toFixed(0)} bytes for an image more`);
      if (!work.endsWith('folder') && after > MAX_GROWTH * before) process.exitCode = 1;
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}
