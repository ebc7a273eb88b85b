// A train step of the joint Transformer, as `mm train-dalle` makes it, against PyTorch and against itself.

import { oneDnnMultiplies } from '../../src/engine/native/processor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { planDalle } from '../../src/train/plan/dalle.ts';
import { plan } from '../../src/train/plan/plan.ts';
import { type Bench, mmSide, pythonSide } from './bench.ts';
import { FULL, LONG, PUBLISHED, SMALL } from './dalle-models.ts';
import { trainConfig } from './dalle-train-step.ts';
import { multipliesBfloat16 } from './machine.ts';

const BATCH = 8;
const LONG_BATCH = 2;

async function flops(model: object, batch: number): Promise<number> {
  const config = trainConfig(model, batch);
  const runtime = new Runtime();
  try {
    return plan(planDalle(runtime, config, 'none'), 1).flopsPerStep;
  } finally {
    await runtime.close();
  }
}

const peer = (name: string, kind: string) =>
  pythonSide(name, 'transformer_step.py', kind, JSON.stringify(SMALL), BATCH, 'cpu');
const side = (name: string, model: object, batch: number, train: object = {}) => ({
  ...mmSide('transformer-mm.ts', model, batch, train),
  name,
});
const tokens = ({ textLength, grid }: typeof SMALL | typeof LONG, batch: number): number =>
  batch * (textLength + grid ** 2);
const long = { items: tokens(LONG, LONG_BATCH), unit: 'tokens', rounds: 6, steps: 2, warmup: 2 } as const;
const small = { items: tokens(SMALL, BATCH), unit: 'tokens', rounds: 8, steps: 3, warmup: 3 } as const;

export const TRANSFORMER_BENCHES: readonly Bench[] = [
  {
    ...small,
    name: 'transformer',
    about: '6.9 M parameters, width 256, 4 layers, full attention, batch 8 of 64 + 256 tokens',
    sides: () => [
      side('mm', SMALL, BATCH),
      peer('DALLE-pytorch', 'dalle-pytorch'),
      peer('PyTorch eager, SDPA', 'eager'),
      peer('torch.compile', 'compile'),
    ],
    flops: () => flops(SMALL, BATCH),
    bars: { 'DALLE-pytorch': 0.55, 'PyTorch eager, SDPA': 0.95, 'torch.compile': 1 },
  },
  {
    ...small,
    name: 'transformer-bfloat16',
    about: 'the same in bfloat16, against the same in float32',
    sides: () => [
      side('mm', SMALL, BATCH, { precision: 'bfloat16' }),
      side('mm, float32', SMALL, BATCH),
      peer('PyTorch eager, bfloat16', 'bfloat16'),
    ],
    lacks: () => (oneDnnMultiplies('bfloat16') ? undefined : 'oneDNN has no products of bfloat16 here'),
    flops: () => flops(SMALL, BATCH),
    // A processor that does not multiply bfloat16 has nothing to gain.
    get bars(): Bench['bars'] {
      return multipliesBfloat16() ? { 'mm, float32': 1 } : {};
    },
  },
  {
    ...long,
    name: 'transformer-sparse',
    about: 'row, column and convolutional attention, width 512, 8 layers, batch 2 of 256 + 1024 tokens',
    sides: () => [
      side('mm', { ...LONG, ...PUBLISHED }, LONG_BATCH),
      side('mm, full attention', { ...LONG, ...FULL }, LONG_BATCH),
    ],
    flops: () => flops({ ...LONG, ...PUBLISHED }, LONG_BATCH),
  },
];
