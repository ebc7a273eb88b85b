// The published dVAE's layers against PyTorch (the `dall_e` package, channels-last): a whole train step (encoder,
// Gumbel-softmax, decoder, logit-Laplace and KL, gradients, AdamW), and JPEG files to codes.

import { Runtime } from '../../src/engine/session/runtime.ts';
import { planDvae } from '../../src/train/plan/dvae.ts';
import { plan } from '../../src/train/plan/plan.ts';
import { type Bench, mmSide, pythonSide } from './bench.ts';
import { DVAE, type DvaeSizes, dvaeConfig } from './dvae-config.ts';
import { writeNoise } from './dvae-images.ts';

const IMAGES = 64;
const TOKENIZED = { ...DVAE, batch: 32 };

const sides = (what: 'train' | 'tokenize', sizes: DvaeSizes, folder: string) => {
  const { hidden, size, batch, vocabulary } = sizes;
  return [
    mmSide('dvae-mm.ts', what, sizes, folder),
    pythonSide('PyTorch', 'dvae_step.py', what, hidden, size, batch, vocabulary, folder),
  ];
};

async function trainFlops(): Promise<number> {
  const runtime = new Runtime();
  try {
    return plan(planDvae(runtime, dvaeConfig(DVAE, 'none')), 1).flopsPerStep;
  } finally {
    await runtime.close();
  }
}

export const DVAE_BENCHES: readonly Bench[] = [
  {
    name: 'dvae',
    about: 'a train step at n_hid 64, 128 pixels, batch 4, 1024 codes',
    items: DVAE.batch,
    unit: 'images',
    rounds: 6,
    steps: 3,
    warmup: 2,
    sides: (folder) => sides('train', DVAE, folder),
    flops: trainFlops,
    bars: { PyTorch: 0.75 },
  },
  {
    name: 'tokenize',
    about: 'JPEG files of 500 × 375 to codes at 128 pixels: read, decoded, resized, cropped, encoded',
    items: IMAGES,
    unit: 'images',
    rounds: 6,
    steps: 2,
    warmup: 1,
    sides: async (folder) => {
      await writeNoise(folder, IMAGES);
      return sides('tokenize', TOKENIZED, folder);
    },
  },
];
