// The published dVAE's layers at the size of the benches.

import type { z } from 'zod';
import { type DvaeConfig, dvaeSchema } from '../../src/config/dvae.ts';

export const DVAE = { hidden: 64, size: 128, batch: 4, vocabulary: 1024 };
export type DvaeSizes = typeof DVAE;

/** @param path of the images */
export const dvaeConfig = ({ hidden, size, batch, vocabulary }: DvaeSizes, path: string): DvaeConfig =>
  dvaeSchema.parse({
    data: { path },
    model: {
      architecture: 'openai',
      imageSize: size,
      groups: 4,
      blocksPerGroup: 1,
      hiddenChannels: hidden,
      decoderInput: hidden,
      vocabulary,
    },
    train: {
      steps: 1000,
      batch,
      optimizer: { learningRate: { peak: 1e-4, end: 1e-4 }, weightDecay: 1e-2 },
      temperature: { start: 1, end: 1 },
      kl: { weight: 1, steps: 0 },
    },
  } satisfies z.input<typeof dvaeSchema>);
