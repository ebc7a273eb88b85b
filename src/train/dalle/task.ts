// Trains the joint Transformer (arXiv 2102.12092, section 2.2): the train step, validation, samples, checkpoints.

import type { Checkpoint } from '../../checkpoint/read.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { Sampler } from '../../inference/dalle/sampler.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { dalleLoss } from '../../models/dalle/loss.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { Weights } from '../../nn/weights.ts';
import { imageGrid } from '../../report/images/grid.ts';
import type { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { gatherResiduals } from '../distributed/error-feedback.ts';
import { PowerSgd } from '../distributed/power-sgd.ts';
import type { Metrics, TrainingTask } from '../loop/loop.ts';
import { Plateau } from '../loop/plateau.ts';
import { type ModelState, saveState } from '../loop/resume.ts';
import { numbers, stepKey } from '../loop/scalars.ts';
import { Adam, Ema } from '../optim/adam.ts';
import { BlockLossScale } from '../optim/block-loss-scale.ts';
import type { Diagnosis } from '../optim/divergence.ts';
import { checkLossScale } from '../optim/loss-scale.ts';
import { learningRateAt, warmedUp } from '../optim/schedules.ts';
import type { TokenBatch } from './batches.ts';
import { trainedEntries } from './fine-tune.ts';
import { DalleStep } from './step.ts';

/** What the task needs besides its configuration. */
export interface DalleParts {
  readonly codec: DvaeCodec;
  readonly dvae: Checkpoint;
  readonly tokenizer: BpeTokenizer;
  readonly validation: readonly TokenBatch[];
  /** Captions to sample while training; cut to the model's text length. */
  readonly prompts: readonly string[];
  /** The run folder. */
  readonly run: string;
  /** The workers that make the updates together. */
  readonly cluster?: Cluster | undefined;
}

/** Samples while training are drawn as they are drawn by default. */
const SETTINGS = { temperature: 1, guidance: 1 } as const;

export class DalleTask implements TrainingTask<TokenBatch> {
  readonly state: ModelState<ReturnType<typeof dalleSpec>>;
  readonly #config: DalleConfig;
  readonly #parts: DalleParts;
  readonly #step: DalleStep;
  readonly #plateau: Plateau | undefined;
  readonly #evaluate;
  readonly #sampler: Sampler | undefined;

  constructor(runtime: Runtime, config: DalleConfig, parts: DalleParts) {
    const { model, train } = config;
    const weights = new Weights(runtime, 'dalle', dalleSpec(model));
    const trained = trainedEntries(weights.entries, train.freeze);
    const optimizer = new Adam(runtime, 'dalle', trained, train.optimizer);
    const ema = train.ema && new Ema(runtime, 'dalle', weights, train.ema);
    const lossScale =
      train.precision === 'float16'
        ? new BlockLossScale(runtime, 'dalle', model.layers, train.blockLossScale)
        : undefined;
    const compression =
      parts.cluster && train.compression
        ? new PowerSgd(runtime, 'dalle', trained, train.compression.rank)
        : undefined;
    const best = ema?.weights ?? weights;
    this.#config = config;
    this.#parts = parts;
    this.#plateau = train.plateau && new Plateau(train.plateau);
    this.state = {
      weights,
      optimizer,
      ema,
      lossScale,
      residuals: compression?.residuals,
      extra: compression ? [compression.factors] : [],
    };
    const changed = { weights, trained, optimizer, ema, lossScale, compression };
    this.#step = new DalleStep(runtime, config, changed, parts.cluster);
    this.#evaluate = runtime.compile(
      'DALL·E validation',
      ({ text, image }: Record<'text' | 'image', Tensor>) => ({
        ...dalleLoss(best.read(), text as Tensor2D, image as Tensor2D, model, {
          textWeight: train.textLossWeight,
        }),
      }),
    );
    this.#sampler =
      parts.prompts.length > 0
        ? new Sampler(runtime, 'training samples', model, best, {
            batch: parts.prompts.length,
            settings: SETTINGS,
          })
        : undefined;
  }

  async update(step: number, batch: TokenBatch): Promise<Metrics> {
    const learningRate = this.#learningRate(step);
    const results = await this.#step.run(batch, step, learningRate, this.#key(step));
    checkLossScale(results.minBlockLossScale, step + 1, this.#parts.run);
    return { ...results, learningRate } as Metrics;
  }

  #learningRate(step: number): number {
    const { optimizer, steps } = this.#config.train;
    return this.#plateau
      ? warmedUp(step, optimizer.learningRate, this.#plateau.factor)
      : learningRateAt(step, optimizer.learningRate, steps);
  }

  #key(step: number): HostTensor {
    return stepKey(this.#config.seed, step);
  }

  resume(evaluation: Metrics): void {
    this.#plateau?.resume(evaluation);
  }

  async diagnose(step: number, batch: TokenBatch): Promise<Diagnosis> {
    return { tensor: await this.#step.firstNonFinite(batch, this.#key(step)), files: batch.keys };
  }

  /** Losses on held-out data, in nats per token. */
  async evaluate(): Promise<Metrics> {
    const { validation } = this.#parts;
    const sums = { loss: 0, textLoss: 0, imageLoss: 0 };
    for (const batch of validation) {
      const { text, image } = this.#step.inputs(batch, this.#key(0));
      const losses = numbers(await this.#evaluate({ text, image }));
      for (const name of ['loss', 'textLoss', 'imageLoss'] as const)
        sums[name] += losses[name] / validation.length;
    }
    return { ...sums, ...this.#plateau?.observe(sums.loss) };
  }

  async sampleImage(): Promise<Uint8Array | undefined> {
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
    const { run, tokenizer, dvae, cluster } = this.#parts;
    const { residuals } = this.state;
    return saveState(run, {
      kind: 'dalle',
      step,
      config: this.#config,
      state: this.state,
      dataPosition: batch?.position,
      metrics: evaluation,
      tokenizer,
      dvae,
      compression: cluster && residuals && (await gatherResiduals(cluster, residuals)),
    });
  }
}
