// A small dVAE with random weights as a checkpoint, and images for it: fast, and with codes that differ.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { dvaeSchema } from '../../src/config/dvae.ts';
import { dvaeArchitecture } from '../../src/models/dvae/architecture.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { RandomStream } from '../../src/util/random.ts';

/** 4 × 4 codes out of 24. */
export const TINY = {
  imageSize: 16,
  groups: 3,
  blocksPerGroup: 1,
  hiddenChannels: 8,
  decoderInput: 8,
  vocabulary: 24,
};

/** Writes the checkpoint folder `path`; another seed gives other weights. */
export async function writeTinyDvae(path: string, seed = 1, model = TINY): Promise<void> {
  const config = dvaeSchema.parse({
    data: { path: 'nowhere' },
    model,
    train: { steps: 1, batch: 1, optimizer: { learningRate: { peak: 1e-3 } } },
  });
  const weights = flatten(dvaeArchitecture(config.model).spec).map(([name, { shape }]) => {
    const random = new RandomStream(seed, name);
    const inputs = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    // Small biases, or one code wins everywhere.
    const stddev = shape.length === 1 ? 0.1 : 2 / Math.sqrt(inputs);
    const data = Float32Array.from({ length: inputs * shape.at(-1)! }, () => stddev * random.normal());
    return [name, { dtype: 'float32', shape, data }] as const;
  });
  await writeCheckpoint(path, {
    kind: 'dvae',
    step: 1,
    seed,
    dataPosition: null,
    metrics: {},
    config,
    model: weights,
  });
}

/** Writes image number `index` of an endless series, with bright and dark areas; larger than the dVAE's. */
export async function writeImage(path: string, index: number): Promise<void> {
  const random = new RandomStream('picture', index);
  const small = Uint8Array.from({ length: 4 * 4 * 3 }, () => random.integer(256));
  const png = await sharp(small, { raw: { width: 4, height: 4, channels: 3 } })
    .resize(24, 20, { fit: 'fill', kernel: 'nearest' })
    .png()
    .toBuffer();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, png);
}

/** `count` captioned images in two folders under `path`: a/000.png, b/001.png, a/002.png, … */
export async function writeImages(path: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const stem = join(path, index % 2 === 0 ? 'a' : 'b', String(index).padStart(3, '0'));
    await writeImage(`${stem}.png`, index);
    writeFileSync(`${stem}.txt`, `picture ${index}\n`);
  }
}
