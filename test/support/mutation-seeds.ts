// The sound files that mutations damage: one of each kind of source and image.

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { noise, plain } from './images.ts';
import { packTar, type Seeds } from './mutations.ts';

const FIXTURES = new URL('../unit/data/fixtures/sources/', import.meta.url).pathname;

export async function mutationSeeds(): Promise<Seeds> {
  const image = plain(12, 9, '#4080c0');
  const png = await image.clone().png().toBuffer();
  const rows = Array.from({ length: 12 }, (_, i) => ({
    file: 'a.png',
    caption: `“caption” ${i}, with a comma`,
  }));
  const archive = await packTar(
    Array.from({ length: 6 }, (_, i) => [
      [`${i}.png`, png] as const,
      [`${i}.txt`, Buffer.from(`caption ${i}`)] as const,
      [`${i}.json`, Buffer.from(JSON.stringify({ caption: [`a ${i}`, 'b'] }))] as const,
    ]).flat(),
  );
  const fixture = (name: string): Buffer => readFileSync(`${FIXTURES}${name}`);
  return {
    'a.png': png,
    'b.jpg': await image.clone().jpeg().toBuffer(),
    // At 8 pixels reduced by 2, 4 and 1 while they are decoded (src/data/frame.ts: `jpegRatio`).
    'half.jpg': await noise(24, 18, 'jpeg'),
    'quarter.jpg': await sharp(await noise(40, 36, 'png'))
      .greyscale()
      .jpeg({ progressive: true })
      .toBuffer(),
    'odd.jpg': await noise(33, 35, 'jpeg'),
    'c.webp': await image.clone().webp().toBuffer(),
    'd.tif': await image.clone().tiff().toBuffer(),
    'e.gif': await image.clone().gif().toBuffer(),
    'f.bmp': fixture('palette8.bmp'),
    'a.txt': Buffer.from('a caption\nof two lines: é語🙂\n'),
    'list.csv': Buffer.from(
      `file,caption\n${rows.map(({ file, caption }) => `${file},"${caption}"`).join('\n')}\n`,
    ),
    'list.tsv': Buffer.from(
      `file\tcaption\n${rows.map(({ file, caption }) => `${file}\t${caption}`).join('\n')}\n`,
    ),
    'list.jsonl': Buffer.from(rows.map((row) => JSON.stringify(row)).join('\n')),
    'list.json': Buffer.from(JSON.stringify(rows)),
    'coco.json': Buffer.from(
      JSON.stringify({
        images: [{ id: 1, file_name: 'a.png' }],
        annotations: [{ image_id: 1, caption: 'one' }],
      }),
    ),
    'whole.tar': archive,
    'pax.tar': fixture('pax.tar'),
    'gnu.tar': fixture('gnu.tar'),
    'packed.tar.gz': gzipSync(archive),
    'bomb.tar.gz': gzipSync(Buffer.alloc(2 ** 21)),
    'inside.parquet': fixture('img2dataset.parquet'),
    'zstd.parquet': fixture('hugging-face.parquet'),
  };
}
