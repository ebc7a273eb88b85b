// Memory of `mm data check` on images, of two sizes of data set, each in its own process: in tars, and in a folder, whose
// names are in memory. Beyond that it may grow by what finds copies (docs/DATA.md).
//
//   npx tsx scripts/check/check-scale.ts [--images 20000] [--factor 3]

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { checkData } from '../../src/data/check/check.ts';
import { ShardWriter } from '../../src/data/pack/shard-writer.ts';
import { encodePng } from '../../src/report/images/png.ts';
import { RandomStream } from '../../src/util/random.ts';

const [SHARD, SIDE] = [1000, 8];
/** Bytes that an image may add in tars: what finds copies, doubled while it grows. */
const MAX_BYTES_EACH = 250;

const { values } = parseArgs({
  options: {
    images: { type: 'string', default: '20000' },
    factor: { type: 'string', default: '3' },
    /** The data, in the process that is measured. */
    data: { type: 'string' },
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

if (values.data !== undefined) {
  const { report } = await checkData(values.data, { textLength: 256 });
  console.log(JSON.stringify([report.images, process.resourceUsage().maxRSS * 1024]));
} else {
  const root = mkdtempSync(join(tmpdir(), 'mm-check-scale-'));
  try {
    const small = Number(values.images);
    const sizes = [small, small * Number(values.factor)];
    for (const images of sizes) await fill(join(root, `${images}`), images);
    for (const kind of ['tars', 'folder']) {
      const [before, after] = sizes.map((images) => {
        const self = fileURLToPath(import.meta.url);
        const flags = ['--import', 'tsx', self, '--data', join(root, `${images}`, kind)];
        const [found, bytes] = JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8' }));
        if (found !== images) throw new Error(`${found} of ${images} images`);
        console.log(`${kind}, ${images} images: ${(bytes / 1e6).toFixed(0)} MB`);
        return bytes as number;
      }) as [number, number];
      const each = (after - before) / ((sizes[1] as number) - small);
      console.log(`${kind}: ${each.toFixed(0)} bytes for an image more`);
      if (kind === 'tars' && each > MAX_BYTES_EACH) process.exitCode = 1;
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}
