// Images read, decoded, cropped to 256 pixels and put into batches, from JPEGs of 512 pixels in a folder and in tars:
// mm against PyTorch's DataLoader with ImageFolder and WebDataset, in turn. Python is that of the virtual environment
// MM_PEERS, with torch, torchvision and webdataset.
//
//   node --import tsx scripts/bench/image-pipeline.ts [--images 1280] [--rounds 5] [--workers 2] [--crop center]

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { packData } from '../../src/data/pack/pack.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { createLogger } from '../../src/util/logger.ts';
import { SILENT } from '../../src/util/progress.ts';
import { RandomStream } from '../../src/util/random.ts';
import { inTurn, ratio, spread, type Turn } from './in-turn.ts';
import { peersPython, runScript } from './script.ts';

const SIZE = 512;
const BATCH = 32;
/** Pixels on a side of the noise that an image is the sum of: like photographs, the coarser the stronger. */
const OCTAVES = [4, 16, 64, 256, 512];

async function photograph(random: RandomStream): Promise<Buffer> {
  const sum = new Float32Array(SIZE * SIZE * 3);
  for (const [i, side] of OCTAVES.entries()) {
    const noise = Uint8Array.from({ length: side * side * 3 }, () => random.integer(256));
    const wide = await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
      .resize(SIZE, SIZE)
      .raw()
      .toBuffer();
    for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] as number) + (wide[j] as number) / 2 ** (i + 1);
  }
  return sharp(Uint8Array.from(sum), { raw: { width: SIZE, height: SIZE, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}

await runScript(async () => {
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '1280' },
      rounds: { type: 'string', default: '5' },
      workers: { type: 'string', default: '2' },
      crop: { type: 'string', default: 'center' },
    },
  });
  const python = peersPython();
  const images = Number(values.images);
  const root = await mkdtemp(join(tmpdir(), 'mm-image-pipeline-'));
  try {
    const [folder, tars] = [join(root, 'folder'), join(root, 'tars')];
    await mkdir(join(folder, 'class'), { recursive: true });
    const random = new RandomStream('image pipeline');
    let bytes = 0;
    for (let i = 0; i < images; i++) {
      const jpeg = await photograph(random);
      bytes += jpeg.length;
      await writeFile(join(folder, 'class', `${String(i).padStart(6, '0')}.jpg`), jpeg);
    }
    const log = createLogger('error');
    const settings = { format: 'jpeg', quality: 95, deduplicate: 'none', captionsOnly: false } as const;
    await packData(
      {
        data: folder,
        out: tars,
        settings: { ...settings, shardSize: 160 },
        resume: false,
        faults: new Faults(log),
      },
      { log, progress: SILENT, signal: new AbortController().signal },
    );
    console.log(
      `${images} JPEGs of ${SIZE} pixels, ${(bytes / images / 1000).toFixed(0)} kB each; crop ${values.crop}`,
    );
    const mm = (name: 'mm folder' | 'mm tars', source: string) => ({
      name,
      module: new URL('image-pipeline-mm.ts', import.meta.url),
      args: [source, `${images}`, `${BATCH}`, values.crop],
    });
    const peer = (name: 'ImageFolder' | 'WebDataset', kind: string, source: string) => ({
      name,
      module: new URL('python-side.ts', import.meta.url),
      args: [python, 'image_pipeline.py', kind, source, `${images}`, `${BATCH}`, values.crop, values.workers],
    });
    const turns = await inTurn(
      [
        mm('mm folder', folder),
        peer('ImageFolder', 'folder', folder),
        mm('mm tars', tars),
        peer('WebDataset', 'tars', tars),
      ],
      { rounds: Number(values.rounds), steps: 1, warmup: 1 },
    );
    for (const [name, some] of Object.entries<Turn[]>(turns)) {
      const { median, min, max } = spread(some.slice(1).flatMap(({ milliseconds }) => milliseconds));
      const rate = (ms: number): string => ((images / ms) * 1000).toFixed(0);
      const seen = some.every(({ values: counts }) => counts.every((count) => count === images));
      const processor = spread(some.slice(1).map((turn) => turn.processorMilliseconds ?? Number.NaN));
      const each = (ms: number): string => (ms / images).toFixed(2);
      console.log(
        `${name.padEnd(12)} ${rate(median)} images/s (${rate(max)} to ${rate(min)}), ` +
          `${each(processor.median)} ms of a processor for an image (${each(processor.min)} to ${each(processor.max)})` +
          `${seen ? '' : ': NOT ALL IMAGES'}`,
      );
    }
    for (const [one, other] of [
      ['mm folder', 'ImageFolder'],
      ['mm tars', 'WebDataset'],
    ] as const) {
      const { median, min, max } = ratio(turns[other], turns[one]);
      console.log(
        `${one} against ${other}: ${median.toFixed(2)} times as fast (${min.toFixed(2)} to ${max.toFixed(2)})`,
      );
    }
  } finally {
    await rm(root, { recursive: true });
  }
});
