// Images to tokenize in a bench: smooth noise, as JPEG files of a photograph's size.

import { join } from 'node:path';
import sharp from 'sharp';
import { RandomStream } from '../../src/util/random.ts';

const [WIDTH, HEIGHT, CELLS] = [500, 375, 25];

export async function writeNoise(folder: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const random = new RandomStream('bench picture', i);
    const small = Uint8Array.from({ length: CELLS * CELLS * 3 }, () => random.integer(256));
    await sharp(small, { raw: { width: CELLS, height: CELLS, channels: 3 } })
      .resize(WIDTH, HEIGHT, { fit: 'fill' })
      .jpeg({ quality: 90 })
      .toFile(join(folder, `${String(i).padStart(5, '0')}.jpg`));
  }
}
