// A tiny joint Transformer with random weights, its samplers, and the slow, obvious way: the whole model run again
// for every token.

import type { DalleModelConfig } from '../../src/config/dalle-model.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { CaptionCompleter } from '../../src/inference/dalle/complete.ts';
import { dalleTokens } from '../../src/inference/dalle/generator.ts';
import { Sampler } from '../../src/inference/sampler/sampler.ts';
import type { SampleSettings, SamplingSettings } from '../../src/inference/sampler/sampling.ts';
import { imageLength, padCaption } from '../../src/models/dalle/config.ts';
import { type DalleParameters, dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { numbers, perturbed } from './perturbed.ts';
import { config as tiny } from './tiny-dalle-model.ts';

export const config: DalleModelConfig = { ...tiny, imageVocabulary: 11 };

export const CAPTIONS = [[3, 8], [1, 2, 5, 0], [7], [6, 6, 6]] as const;
export const PLAIN: SampleSettings = { temperature: 1, guidance: 1 };

export const mostLikely = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** A model with random, perturbed weights. */
export class SlowModel {
  readonly config: DalleModelConfig;
  readonly parameters: DalleParameters;
  readonly #runtimes: Runtime[] = [];

  constructor(change: Partial<DalleModelConfig> = {}, seed = 10) {
    this.config = { ...config, ...change };
    this.parameters = perturbed(dalleSpec(this.config), seed);
  }

  /** A separate runtime with the weights: each function enlarges the graph that the next is optimized with. */
  async #open() {
    const spec = dalleSpec(this.config);
    const runtime = new Runtime();
    this.#runtimes.push(runtime);
    const weights = new Weights(runtime, 'dalle', spec);
    await weights.load(new Map(flatten(spec).map(([name]) => [name, this.#value(name)])));
    return { runtime, weights };
  }

  #value(name: string): HostTensor {
    const tensor = name
      .split('.')
      .reduce<unknown>((tree, key) => (tree as Record<string, unknown>)[key], this.parameters) as Tensor;
    return { dtype: 'float32', shape: tensor.shape, data: tensor.dataSync() as Float32Array };
  }

  /** A sampler whose prompts go through one layer after the other, as those of large models do. */
  async sampler(batch: number, settings: Partial<SampleSettings> = {}): Promise<Sampler> {
    const { runtime, weights } = await this.#open();
    return new Sampler(runtime, 'test', dalleTokens(this.config, weights, 'float32', 1), {
      batch,
      settings: { ...PLAIN, ...settings },
      frozen: true,
    });
  }

  async completer(settings: Partial<SamplingSettings> = {}): Promise<CaptionCompleter> {
    const { runtime, weights } = await this.#open();
    return new CaptionCompleter(runtime, 'test', this.config, weights, { temperature: 1, ...settings });
  }

  async close(): Promise<void> {
    await Promise.all(this.#runtimes.map((runtime) => runtime.close()));
  }

  /** The logits of the token after `sampled`, from the whole model; later tokens do not matter. */
  imageLogits(caption: readonly number[], sampled: readonly number[]): number[] {
    const { image_BIV } = this.#logits(caption, sampled);
    return numbers(tf.slice(image_BIV, [0, sampled.length, 0], [1, 1, -1]));
  }

  /** The logits of the text token after `tokens`. */
  textLogits(tokens: readonly number[]): number[] {
    const { text_BTV } = this.#logits(tokens, []);
    return numbers(tf.slice(text_BTV, [0, tokens.length, 0], [1, 1, -1]));
  }

  #logits(caption: readonly number[], sampled: readonly number[]) {
    const length = imageLength(this.config);
    const text = tf.tensor2d([...padCaption(caption, this.config)], [1, this.config.textLength], 'int32');
    const image = tf.tensor2d(
      Array.from({ length }, (_, i) => sampled[i] ?? 0),
      [1, length],
      'int32',
    );
    return logits(this.parameters, text, image, this.config);
  }

  /** The image that begins with `start` and continues with the most likely token each time. */
  greedy(
    caption: readonly number[],
    {
      start = [],
      away,
      guidance = 1,
    }: { start?: readonly number[]; away?: readonly number[]; guidance?: number },
  ): number[] {
    const sampled = [...start];
    while (sampled.length < imageLength(this.config)) {
      const captioned = this.imageLogits(caption, sampled);
      const other = away ? this.imageLogits(away, sampled) : captioned;
      sampled.push(mostLikely(captioned.map((value, v) => other[v]! + guidance * (value - other[v]!))));
    }
    return sampled;
  }
}
