// mm's own joint Transformer in a bench: whole train steps, as `mm train-dalle` makes them.
// dalle-step-mm.ts MODEL BATCH VALUE, where MODEL is a model section as JSON and VALUE is what a step returns: its
// loss, or the process's peak memory in megabytes

import { readFileSync } from 'node:fs';
import { dalleSchema } from '../../src/config/dalle.ts';
import { Runtime } from '../../src/engine/runtime.ts';
import { imageLength } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DalleStep } from '../../src/train/dalle-step.ts';
import { Adam } from '../../src/train/optimizer.ts';
import { stepKey } from '../../src/train/scalars.ts';
import { initialize } from '../../src/train/state.ts';
import { RandomStream } from '../../src/util/random.ts';
import { serve } from './in-turn.ts';

const [model = '{}', batch = '8', value = 'loss'] = process.argv.slice(2);

await serve(async () => {
  const count = Number(batch);
  const config = dalleSchema.parse({
    data: { path: 'random', dvae: 'none', tokenizer: 'none' },
    model: JSON.parse(model),
    train: { steps: 1, batch: count, optimizer: { learningRate: { peak: 3e-4 }, beta2: 0.96 } },
  });
  const runtime = new Runtime();
  const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
  const optimizer = new Adam(runtime, 'dalle', weights.entries, config.train.optimizer);
  const state = { weights, trained: weights.entries, optimizer, average: undefined, lossScale: undefined };
  const step = new DalleStep(runtime, config, state);
  await initialize(runtime, state, 0);
  const { textLength, textVocabulary, imageVocabulary } = config.model;

  return async (at) => {
    const random = new RandomStream('bench', at);
    const ids = (length: number, vocabulary: number): Int32Array =>
      Int32Array.from({ length: count * length }, () => random.integer(vocabulary));
    const text = ids(textLength, textVocabulary);
    const image = ids(imageLength(config.model), imageVocabulary);
    const { loss } = await step.run({ count, text, image }, at, 3e-4, stepKey(0, at));
    return value === 'memory' ? peakMegabytes() : (loss as number);
  };
});

/** Most memory this process ever had resident. */
function peakMegabytes(): number {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
