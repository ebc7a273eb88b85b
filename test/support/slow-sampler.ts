// A tiny joint Transformer with random weights, its samplers, and the slow, obvious way: the whole model run again
// for every token.

import type { DalleModelConfig } from '../../src/config/dalle-model.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import type { Compiled } from '../../src/engine/session/compiled.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Tensor, Tensor2D, Tensor3D } from '../../src/engine/tfjs/tf.ts';
import { CaptionCompleter } from '../../src/inference/dalle/complete.ts';
import { dalleTokens } from '../../src/inference/dalle/generator.ts';
import { Sampler } from '../../src/inference/sampler/sampler.ts';
import type { SampleSettings, SamplingSettings } from '../../src/inference/sampler/sampling.ts';
import { imageLength, padCaption } from '../../src/models/dalle/config.ts';
import { type DalleParameters, dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { perturbed } from './perturbed.ts';
import { config as tiny } from './tiny-dalle-model.ts';

export const config: DalleModelConfig = { ...tiny, imageVocabulary: 11 };

export const CAPTIONS = [[3, 8], [1, 2, 5, 0], [7], [6, 6, 6]] as const;
export const PLAIN: SampleSettings = { temperature: 1, guidance: 1 };

export const mostLikely = (values: readonly number[]): number => values.indexOf(Math.max(...values));

const sequence = (ids: ArrayLike<number>): HostTensor => ({
  dtype: 'int32',
  shape: [1, ids.length],
  data: Int32Array.from(ids),
});

/** A row of the first of some matrices. */
function rowOf({ shape, data }: HostTensor, row: number): number[] {
  const width = shape.at(-1) as number;
  return Array.from((data as Float32Array).subarray(row * width, (row + 1) * width));
}

type WholeModel = Compiled<
  { text_BT: Tensor2D; image_BI: Tensor2D },
  { text_BTV: Tensor3D; image_BIV: Tensor3D }
>;

/** A model with random, perturbed weights. */
export class SlowModel {
  readonly config: DalleModelConfig;
  readonly parameters: DalleParameters;
  readonly #runtimes: Runtime[] = [];
  /** Once for all of its tokens: op by op, a call takes twenty times as long. */
  #whole: Promise<WholeModel> | undefined;

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
  async imageLogits(caption: readonly number[], sampled: readonly number[]): Promise<number[]> {
    const { image_BIV } = await this.#logits(caption, sampled);
    return rowOf(image_BIV, sampled.length);
  }

  /** The logits of the text token after `tokens`. */
  async textLogits(tokens: readonly number[]): Promise<number[]> {
    const { text_BTV } = await this.#logits(tokens, []);
    return rowOf(text_BTV, tokens.length);
  }

  async #logits(caption: readonly number[], sampled: readonly number[]) {
    const length = imageLength(this.config);
    this.#whole ??= this.#compile();
    const whole = await this.#whole;
    return whole({
      text_BT: sequence(padCaption(caption, this.config)),
      image_BI: sequence(Array.from({ length }, (_, i) => sampled[i] ?? 0)),
    });
  }

  async #compile(): Promise<WholeModel> {
    const { runtime, weights } = await this.#open();
    return runtime.compile('whole model', ({ text_BT, image_BI }) =>
      logits(weights.read(), text_BT, image_BI, this.config),
    );
  }

  /** The image that begins with `start` and continues with the most likely token each time. */
  async greedy(
    caption: readonly number[],
    {
      start = [],
      away,
      guidance = 1,
    }: { start?: readonly number[]; away?: readonly number[]; guidance?: number } = {},
  ): Promise<number[]> {
    const sampled = [...start];
    while (sampled.length < imageLength(this.config)) {
      const captioned = await this.imageLogits(caption, sampled);
      const other = away ? await this.imageLogits(away, sampled) : captioned;
      sampled.push(mostLikely(captioned.map((value, v) => other[v]! + guidance * (value - other[v]!))));
    }
    return sampled;
  }
}
