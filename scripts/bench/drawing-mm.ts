// mm's side of drawing-benches.ts: one step samples the tokens of a batch of images.
// drawing-mm.ts MODEL BATCH VALUE [PRECISION], where MODEL is a model section as JSON and VALUE is what a step returns:
// the mean of its tokens, or how many times as long the last eighth of the positions took as the second

import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import type { Precision } from '../../src/engine/graph/precision.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useCallingThread, useOwnThreads } from '../../src/engine/session/threads.ts';
import { dalleStorage, dalleTokens, runtimeForSteps } from '../../src/inference/dalle/generator.ts';
import { topKCount } from '../../src/inference/sampler/logits-processor.ts';
import { Sampler } from '../../src/inference/sampler/sampler.ts';
import { imageLength } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { RandomStream } from '../../src/util/random.ts';
import { serve, spread } from './in-turn.ts';

/** The most likely tenth, as in the call of generate_images. */
const FILTER = 0.9;

const [model = '{}', batch = '4', value = 'mean', type = 'float32'] = process.argv.slice(2);
const precision = type as Precision;

await serve(async () => {
  const config = dalleModelSchema.parse(JSON.parse(model));
  const { textLength, textVocabulary, imageVocabulary } = config;
  useCallingThread();
  useOwnThreads();
  const runtime = runtimeForSteps(new Runtime(), config, Number(batch));
  const weights = new Weights(runtime, 'dalle', dalleSpec(config), dalleStorage(precision));
  await weights.initialize(0);
  await perturb(weights);
  const settings = { temperature: 1, guidance: 1, topK: topKCount(FILTER, imageVocabulary) };
  const sampler = new Sampler(runtime, 'bench', dalleTokens(config, weights, precision), {
    batch: Number(batch),
    settings,
    frozen: true,
  });

  return async (step) => {
    const random = new RandomStream('bench', step);
    const requests = Array.from({ length: Number(batch) }, (_, r) => ({
      captionTokens: Array.from({ length: textLength }, () => random.integer(textVocabulary)),
      seed: step * Number(batch) + r,
    }));
    const times: number[] = [];
    const codes = await sampler.sample(requests, () => times.push(performance.now()));
    return value === 'mean' ? codes.reduce((a, b) => a + b) / codes.length : growth(times);
  };

  /** As training would: biases of 0 and gains of 1 are left out of a graph of constants. */
  async function perturb(drawn: typeof weights): Promise<void> {
    const values = await drawn.save();
    const random = new RandomStream('perturbed');
    for (const { data } of values.values())
      for (const i of data.keys()) data[i] = Number(data[i]) + 0.02 * random.normal();
    await drawn.load(values);
  }

  function growth(times: readonly number[]): number {
    const eighth = imageLength(config) / 8;
    const took = times.slice(1).map((time, i) => time - (times[i] as number));
    const of = (part: number): number => spread(took.slice(part * eighth, (part + 1) * eighth)).median;
    return of(7) / of(1);
  }
});
