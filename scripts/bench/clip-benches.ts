// CLIP against open_clip: train steps as `mm train-clip` makes them, and features as `mm rank` and `mm classify` make
// them.

import { clipSchema } from '../../src/config/clip.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { planClip } from '../../src/train/plan/clip.ts';
import { plan } from '../../src/train/plan/plan.ts';
import { type Bench, mmSide, pathHere, pythonSide } from './bench.ts';
import { peersPython, runProgram } from './script.ts';

const ENCODED = 32;
const ENCODER = 'ViT-B-32-quickgelu';
const TOLERANCE = 1e-4;

function trainBench(name: string, model: string, file: string, batch: number): Bench {
  const path = pathHere(`../../configs/clip/${file}`);
  return {
    name,
    about: `a train step of ${model}, batch ${batch}`,
    items: batch,
    unit: 'images',
    rounds: 5,
    steps: 2,
    warmup: 2,
    sides: () => [mmSide('clip-mm.ts', path, batch), pythonSide('open_clip', 'clip_step.py', model, batch)],
    flops: async () => {
      const runtime = new Runtime();
      try {
        const flags = { 'train.batch': batch, 'train.gradCacheChunk': batch };
        return plan(planClip(runtime, loadConfig(clipSchema, { file: path, flags }), 'light'), 1)
          .flopsPerStep;
      } finally {
        await runtime.close();
      }
    },
    bars: { open_clip: 0.95 },
  };
}

function encodeBench(name: string, what: 'images' | 'texts', about: string): Bench {
  return {
    ...{ name, about, items: ENCODED, unit: what },
    ...{ rounds: 6, steps: 2, warmup: 2 },
    sides: async (folder) => {
      await runProgram(peersPython(), [pathHere('open_clip_peer.py'), 'write', ENCODER, folder]);
      return [
        mmSide('clip-encode-mm.ts', folder, what),
        pythonSide('open_clip', 'open_clip_peer.py', 'serve', ENCODER, folder, what),
      ];
    },
    compare: ({ mm, open_clip }) => {
      const [ours, theirs] = [mm, open_clip].map((turns) => turns?.[0]?.values[0] as number);
      const apart = Math.abs((ours as number) - (theirs as number));
      if (!(apart < TOLERANCE)) throw new Error(`the two sides do not encode alike: apart by ${apart}`);
    },
  };
}

export const CLIP_BENCHES: readonly Bench[] = [
  trainBench('clip-vit', 'ViT-B-32-quickgelu', 'vit-b-32.yaml', 16),
  trainBench('clip-resnet', 'RN50-quickgelu', 'rn50.yaml', 8),
  encodeBench('clip-encode', 'images', `image features of ViT-B/32, batch ${ENCODED}`),
  encodeBench('clip-texts', 'texts', `text features of ViT-B/32, ${ENCODED} labels of seven tokens`),
];
