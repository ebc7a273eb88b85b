// Drawing image tokens, against DALLE-pytorch's generate_images with its cache, and late positions against early ones.

import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { type Bench, mmSide, pythonSide } from './bench.ts';
import { LONG, SMALL } from './dalle-models.ts';

const FLOAT32 = 4;
const long = { ...SMALL, textLength: LONG.textLength, grid: LONG.grid };

/** Bytes that a token of a batch reads, in the mean: the layers' weights, and the cache of each image. */
function bytes(batch: number): number {
  const config = dalleModelSchema.parse(SMALL);
  const tokens = config.grid ** 2;
  const weights = flatten(dalleSpec(config))
    .filter(([name]) => name.startsWith('blocks.') || name.startsWith('image_head.'))
    .reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const meanLength = config.textLength + tokens / 2;
  const cache = batch * config.layers * 2 * meanLength * config.width;
  return FLOAT32 * Math.round(weights + cache);
}

const drawing = (batch: number, bar: number): Bench => ({
  name: `drawing-${batch}`,
  about: `${batch} at a time: 256 image tokens after 64 text tokens, width 256, 4 layers, the most likely tenth of 1024 codes`,
  items: batch * SMALL.grid ** 2,
  unit: 'tokens',
  rounds: 4,
  steps: 1,
  warmup: 1,
  sides: () => [
    mmSide('drawing-mm.ts', SMALL, batch, 'mean'),
    pythonSide('DALLE-pytorch', 'drawing.py', JSON.stringify(SMALL), batch, 'cpu', 'float32'),
  ],
  reads: () => ({ bytes: bytes(batch), times: SMALL.grid ** 2 }),
  bars: { 'DALLE-pytorch': 1 / bar },
});

const side = (name: string, model: object) => ({ ...mmSide('drawing-mm.ts', model, 4, 'growth'), name });

export const DRAWING_BENCHES: readonly Bench[] = [
  drawing(1, 10),
  drawing(4, 20),
  drawing(16, 20),
  {
    name: 'drawing-long',
    about: '4 at a time, 1024 image tokens after 256: row, column and convolutional attention against full',
    items: 4 * long.grid ** 2,
    unit: 'tokens',
    rounds: 3,
    steps: 1,
    warmup: 1,
    sides: () => [
      side('mm', { ...long, attention: ['row', 'column', 'row', 'conv'] }),
      side('mm, full attention', long),
    ],
    value: 'the last positions took, of the time of early ones',
  },
];
