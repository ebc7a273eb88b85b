// The joint Transformer on held-out tokens: its losses, and images sampled for prompts.

import type { DalleModelConfig } from '../config/dalle-model.ts';
import type { HostTensor } from '../engine/native/tensor.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../engine/tfjs/tf.ts';
import { dalleTokens } from '../inference/dalle/generator.ts';
import type { DvaeCodec } from '../inference/dvae/codec.ts';
import { Sampler } from '../inference/sampler/sampler.ts';
import { maxCaptionTokens } from '../models/dalle/config.ts';
import { dalleLoss } from '../models/dalle/loss.ts';
import type { DalleSpec } from '../models/dalle/model.ts';
import type { Weights } from '../nn/weights.ts';
import { imageGrid } from '../report/images/grid.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import type { Evaluator, Metrics } from './evaluator.ts';

/** Held-out images as tokens. */
export interface HeldOutTokens {
  readonly count: number;
  /** count × textLength, padded */
  readonly text: Int32Array;
  /** count × grid² */
  readonly image: Int32Array;
}

export interface DalleValidationOptions {
  readonly model: DalleModelConfig;
  readonly textLossWeight: number;
  /** Seed of the first sampled image; the others count up from it. */
  readonly seed: number;
  /** Batches of equal size. */
  readonly batches: readonly HeldOutTokens[];
  /** Captions to sample images for, cut to the model's text length. */
  readonly prompts: readonly string[];
  /** Sampling temperature of the images. */
  readonly temperature: number;
  readonly codec: DvaeCodec;
  readonly tokenizer: Tokenizer;
}

export class DalleValidation implements Evaluator {
  readonly #options: DalleValidationOptions;
  readonly #losses;
  readonly #sampler: Sampler | undefined;

  constructor(runtime: Runtime, weights: Weights<DalleSpec>, options: DalleValidationOptions) {
    const { model, textLossWeight, prompts, temperature } = options;
    this.#options = options;
    this.#losses = runtime.compile(
      'DALL·E validation',
      ({ text, image }: Record<'text' | 'image', Tensor>) => ({
        ...dalleLoss(weights.read(), text as Tensor2D, image as Tensor2D, model, {
          textWeight: textLossWeight,
        }),
      }),
    );
    this.#sampler =
      prompts.length > 0
        ? new Sampler(runtime, 'training samples', dalleTokens(model, weights), {
            batch: prompts.length,
            settings: { temperature, guidance: 1 },
          })
        : undefined;
  }

  /** `loss`, and `textLoss` and `imageLoss` in nats per token. */
  async run(): Promise<Metrics> {
    const { batches } = this.#options;
    const means = { loss: 0, textLoss: 0, imageLoss: 0 };
    for (const { count, text, image } of batches) {
      const ids = (data: Int32Array): HostTensor => ({
        dtype: 'int32',
        shape: [count, data.length / count],
        data,
      });
      const losses = await this.#losses({ text: ids(text), image: ids(image) });
      for (const name of ['loss', 'textLoss', 'imageLoss'] as const)
        means[name] += Number(losses[name].data[0]) / batches.length;
    }
    return means;
  }

  /** An image for each prompt. */
  async image(): Promise<Uint8Array | undefined> {
    if (!this.#sampler) return undefined;
    const { prompts, tokenizer, codec, model, seed } = this.#options;
    const requests = prompts.map((prompt, i) => ({
      captionTokens: tokenizer.encode(prompt).slice(0, maxCaptionTokens(model)),
      seed: seed + i,
    }));
    const pixels = await codec.decode(await this.#sampler.sample(requests));
    const size = codec.config.imageSize;
    const length = size * size * 3;
    const cells = prompts.map((caption, i) => ({
      pixels: pixels.subarray(i * length, (i + 1) * length),
      width: size,
      height: size,
      caption,
    }));
    return imageGrid(cells, { columns: Math.ceil(Math.sqrt(cells.length)) });
  }
}
