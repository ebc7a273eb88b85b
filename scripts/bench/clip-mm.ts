// mm's side of the bench of CLIP's train step: the update of a batch that fits in memory, on random images and texts.
// clip-mm.ts CONFIG BATCH RECOMPUTE, with the path of a configuration file and train.recompute, light without it

import { clipSchema } from '../../src/config/clip.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { clipSpec } from '../../src/models/clip/model.ts';
import { textBatch } from '../../src/models/clip/text.ts';
import { Weights } from '../../src/nn/weights.ts';
import { wholeStep } from '../../src/train/clip/step.ts';
import { initialize } from '../../src/train/loop/state.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { RandomStream } from '../../src/util/random.ts';
import { serve } from './in-turn.ts';

const [file = '', given = '16', recompute = 'light'] = process.argv.slice(2);
const batch = Number(given);
const config = loadConfig(clipSchema, {
  file,
  flags: {
    ...{ 'train.batch': batch, 'train.gradCacheChunk': batch, 'train.precision': 'float32' },
    'train.recompute': recompute,
  },
});
const { model, train } = config;
const { size } = model.image;
const { length } = model.text;

await serve(async () => {
  const runtime = new Runtime();
  const weights = new Weights(runtime, 'clip', clipSpec(model));
  const optimizer = new Adam(runtime, 'clip', weights.trained, train.optimizer);
  await initialize(runtime, { weights, optimizer, ema: undefined }, 0);
  const update = wholeStep({ runtime, config, weights, optimizer, ema: undefined });
  return async (step) => {
    const random = new RandomStream('bench', step);
    const pixels = Uint8Array.from({ length: batch * size * size * 3 }, () => random.integer(256));
    const texts = Array.from({ length: batch }, () => Array.from({ length }, () => random.integer(49406)));
    const inputs = {
      pixels: { dtype: 'uint8', shape: [batch, size, size, 3], data: pixels },
      ...textBatch(texts, model),
    } as const;
    async function* chunks() {
      yield inputs;
    }
    return (await update(step, 1e-5, chunks)).loss;
  };
});
