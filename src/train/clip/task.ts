// Trains CLIP (arXiv 2103.00020, section 2): the update, validation by retrieval and zero-shot, checkpoints.

import type { ClipConfig } from '../../config/clip.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { RECALL_AT, retrieval } from '../../eval/retrieval.ts';
import { type Classifier, confusion, makeClassifier, predict } from '../../inference/clip/classifier.ts';
import { ClipModel } from '../../inference/clip/clip.ts';
import { ClipEncoder } from '../../inference/clip/encoder.ts';
import { cosineSimilarity, descendingOrder } from '../../inference/measures/features.ts';
import { type ClipSpec, clipSpec } from '../../models/clip/model.ts';
import { Weights } from '../../nn/weights.ts';
import { imageGrid, RIGHT, WRONG } from '../../report/images/grid.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import type { Metrics, TrainingTask } from '../loop/loop.ts';
import { type ModelState, saveState } from '../loop/resume.ts';
import { Adam, Ema } from '../optim/adam.ts';
import { learningRateAt } from '../optim/schedules.ts';
import type { ClipBatch } from './batches.ts';
import { cachedStep } from './cached-step.ts';
import { type ClipStep, wholeStep } from './step.ts';

/** Held-out pairs. */
export interface ClipValidation {
  /** RGB, count × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly captions: readonly string[];
}

/** Labelled images to classify. */
export interface ZeroShot {
  readonly pixels: Uint8Array;
  /** The label of each image, by its number. */
  readonly truth: readonly number[];
  readonly labels: readonly string[];
  readonly templates: readonly string[];
}

export interface ClipParts {
  readonly tokenizer: Tokenizer;
  readonly validation: ClipValidation;
  readonly zeroShot: ZeroShot | undefined;
  /** The run folder. */
  readonly run: string;
}

/** Held-out images shown with the caption that is nearest to each. */
const SHOWN = 16;

export class ClipTask implements TrainingTask<ClipBatch> {
  readonly state: ModelState<ClipSpec>;
  readonly #config: ClipConfig;
  readonly #parts: ClipParts;
  readonly #step: ClipStep;
  readonly #clip: ClipModel;
  /** Of the validation pairs, from the last validation. */
  #features: { images: Float32Array; texts: Float32Array } | undefined;

  constructor(runtime: Runtime, config: ClipConfig, parts: ClipParts) {
    const { model, train } = config;
    const weights = new Weights(runtime, 'clip', clipSpec(model));
    const optimizer = new Adam(runtime, 'clip', weights.trained, train.optimizer);
    const ema = train.ema && new Ema(runtime, 'clip', weights, train.ema);
    this.#config = config;
    this.#parts = parts;
    this.state = { weights, optimizer, ema };
    const step = { runtime, config, weights, optimizer, ema };
    const { gradCacheChunk: chunk = train.batch } = train;
    this.#step = chunk < train.batch ? cachedStep(step, chunk) : wholeStep(step);
    const encoder = new ClipEncoder(runtime, 'CLIP validation', model, ema?.weights ?? weights);
    // Validation compares with the scale that classification uses; a classifier lives no longer than one validation.
    this.#clip = new ClipModel(model, 'in training', 1, parts.tokenizer, encoder);
  }

  async update(step: number, batch: ClipBatch): Promise<Metrics> {
    const { optimizer, steps } = this.#config.train;
    const learningRate = learningRateAt(step, optimizer.learningRate, steps);
    return { ...(await this.#step(step, learningRate, () => batch.chunks())), learningRate };
  }

  /** Retrieval among the held-out pairs, both ways, and zero-shot accuracy. */
  async evaluate(): Promise<Metrics> {
    const { validation, zeroShot } = this.#parts;
    const images = await this.#clip.encodeImages(validation.pixels);
    const texts = await this.#clip.encodeTexts(validation.captions, true);
    this.#features = { images, texts };
    const { imageToText, textToImage } = retrieval(
      images,
      texts,
      validation.captions,
      this.#config.model.embedding,
    );
    const recalls = RECALL_AT.flatMap((k) => [
      [`imageToText@${k}`, imageToText[k]],
      [`textToImage@${k}`, textToImage[k]],
    ]);
    return {
      ...(Object.fromEntries(recalls) as Metrics),
      ...(zeroShot && { zeroShot: await this.#classify(zeroShot) }),
    };
  }

  async #classify({ pixels, truth, labels, templates }: ZeroShot): Promise<number> {
    const classifier: Classifier = await makeClassifier(this.#clip, labels, templates, 'data.zeroShot', true);
    const features = await this.#clip.encodeImages(pixels);
    const { embedding } = this.#config.model;
    const guesses = truth.map((label, i): [number, number] => {
      const [best] = predict(classifier, features.subarray(i * embedding, (i + 1) * embedding), 1);
      return [label, labels.indexOf(best!.label)];
    });
    return confusion(labels.length, guesses).accuracy;
  }

  /** Held-out images, each with the held-out caption nearest to it. */
  async sampleImage(): Promise<Uint8Array | undefined> {
    if (!this.#features) return undefined;
    const { images, texts } = this.#features;
    const { captions, pixels } = this.#parts.validation;
    const { embedding, image } = this.#config.model;
    const length = image.size ** 2 * 3;
    const cells = captions.slice(0, SHOWN).map((own, i) => {
      const near = captions.map((_, j) => cosineSimilarity(images, i, texts, j, embedding));
      const caption = captions[descendingOrder(near)[0] as number] as string;
      return {
        pixels: pixels.subarray(i * length, (i + 1) * length),
        width: image.size,
        height: image.size,
        caption,
        border: caption === own ? RIGHT : WRONG,
      };
    });
    return imageGrid(cells, {
      columns: Math.ceil(Math.sqrt(cells.length)),
      title: 'The nearest caption of each',
    });
  }

  async save(step: number, batch: ClipBatch | undefined, evaluation: Metrics): Promise<string> {
    const { run, tokenizer } = this.#parts;
    return saveState(run, {
      kind: 'clip',
      step,
      config: this.#config,
      state: this.state,
      dataPosition: batch?.position,
      metrics: evaluation,
      tokenizer,
    });
  }
}
