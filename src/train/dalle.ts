// Trains the joint Transformer (arXiv 2102.12092, section 2.2): the train step, validation, samples, checkpoints.

import type { Checkpoint } from '../checkpoint/read.ts';
import type { DalleConfig } from '../config/dalle.ts';
import type { Runtime } from '../engine/runtime.ts';
import type { HostTensor } from '../engine/tensor.ts';
import type { Scalar, Tensor, Tensor2D } from '../engine/tf.ts';
import { imageLength } from '../models/dalle/config.ts';
import { dalleLoss } from '../models/dalle/loss.ts';
import { dalleSpec } from '../models/dalle/model.ts';
import { Sampler } from '../models/dalle/sample.ts';
import type { DvaeCodec } from '../models/dvae/codec.ts';
import { unflatten } from '../nn/parameters.ts';
import { Weights } from '../nn/weights.ts';
import { imageGrid } from '../report/grid.ts';
import type { BpeTokenizer } from '../tokenizers/bpe.ts';
import { valueAndGradients } from './gradients.ts';
import type { Metrics, Trainee } from './loop.ts';
import { Adam, Average } from './optimizer.ts';
import { numbers, scalar } from './scalars.ts';
import { learningRateAt } from './schedules.ts';
import { type ModelState, saveState } from './state.ts';
import type { TokenBatch } from './token-batches.ts';

/** What the trainee needs besides its configuration. */
export interface DalleParts {
  readonly codec: DvaeCodec;
  readonly dvae: Checkpoint;
  readonly tokenizer: BpeTokenizer;
  readonly validation: readonly TokenBatch[];
  /** Captions to sample while training; cut to the model's text length. */
  readonly prompts: readonly string[];
  /** The run folder. */
  readonly run: string;
}

/** Samples while training are drawn as they are drawn by default. */
const SETTINGS = { temperature: 1, guidance: 1 } as const;

export class DalleTrainee implements Trainee<TokenBatch> {
  readonly state: ModelState<ReturnType<typeof dalleSpec>>;
  readonly #config: DalleConfig;
  readonly #parts: DalleParts;
  readonly #update;
  readonly #evaluate;
  readonly #sampler: Sampler | undefined;

  constructor(runtime: Runtime, config: DalleConfig, parts: DalleParts) {
    const { model, train } = config;
    const weights = new Weights(runtime, 'dalle', dalleSpec(model));
    const optimizer = new Adam(runtime, 'dalle', weights.entries, train.optimizer);
    const average = train.averaging && new Average(runtime, 'dalle', weights, train.averaging);
    const best = average?.weights ?? weights;
    this.#config = config;
    this.#parts = parts;
    this.state = { weights, optimizer, average };
    type Inputs = Record<'text' | 'image' | 'step' | 'learningRate', Tensor>;
    this.#update = runtime.compile(
      'DALL·E train step',
      ({ text, image, step, learningRate }: Inputs) => {
        const { values, gradients } = valueAndGradients(weights.entries, (read) =>
          dalleLoss(
            unflatten(weights.spec, read),
            text as Tensor2D,
            image as Tensor2D,
            model,
            train.textLossWeight,
          ),
        );
        const { gradientNorm, updates } = optimizer.apply(gradients, step as Scalar, learningRate as Scalar);
        average?.update(updates, step as Scalar);
        return { ...values, gradientNorm };
      },
      { precision: train.precision },
    );
    this.#evaluate = runtime.compile(
      'DALL·E validation',
      ({ text, image }: Record<'text' | 'image', Tensor>) => ({
        ...dalleLoss(best.read(), text as Tensor2D, image as Tensor2D, model, train.textLossWeight),
      }),
    );
    this.#sampler =
      parts.prompts.length > 0
        ? new Sampler(runtime, 'training samples', model, best, parts.prompts.length, SETTINGS)
        : undefined;
  }

  async update(step: number, batch: TokenBatch): Promise<Metrics> {
    const { optimizer, steps } = this.#config.train;
    const learningRate = learningRateAt(step, optimizer.learningRate, steps);
    const results = await this.#update({
      ...this.#tokens(batch),
      step: scalar(step),
      learningRate: scalar(learningRate),
    });
    return { ...numbers(results), learningRate };
  }

  #tokens({ text, image, count }: TokenBatch): { text: HostTensor; image: HostTensor } {
    const { model } = this.#config;
    return {
      text: { dtype: 'int32', shape: [count, model.textLength], data: text },
      image: { dtype: 'int32', shape: [count, imageLength(model)], data: image },
    };
  }

  /** Losses on held-out data, in nats per token. */
  async evaluate(): Promise<Metrics> {
    const { validation } = this.#parts;
    const sums = { loss: 0, textLoss: 0, imageLoss: 0 };
    for (const batch of validation) {
      const losses = numbers(await this.#evaluate(this.#tokens(batch)));
      for (const name of ['loss', 'textLoss', 'imageLoss'] as const)
        sums[name] += losses[name] / validation.length;
    }
    return sums;
  }

  async picture(): Promise<Uint8Array | undefined> {
    if (!this.#sampler) return undefined;
    const { prompts, tokenizer, codec } = this.#parts;
    const requests = prompts.map((prompt, i) => ({
      caption: tokenizer.encode(prompt).slice(0, this.#config.model.textLength),
      seed: this.#config.seed + i,
    }));
    const pixels = await codec.decode(await this.#sampler.sample(requests));
    const size = codec.config.imageSize;
    const cells = prompts.map((caption, i) => ({
      pixels: pixels.subarray(i * size * size * 3, (i + 1) * size * size * 3),
      width: size,
      height: size,
      caption,
    }));
    return imageGrid(cells, { columns: Math.ceil(Math.sqrt(cells.length)) });
  }

  async save(step: number, batch: TokenBatch | undefined, evaluation: Metrics): Promise<string> {
    const { run, tokenizer, dvae } = this.#parts;
    return saveState(run, {
      kind: 'dalle',
      step,
      config: this.#config,
      state: this.state,
      position: batch?.position,
      metrics: evaluation,
      tokenizer,
      dvae,
    });
  }
}
