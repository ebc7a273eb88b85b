// CLIP on held-out pairs: retrieval both ways, and zero-shot classification of labelled images.

import { type Classifier, confusion, makeClassifier, predict } from '../inference/clip/classifier.ts';
import type { ClipPipeline } from '../inference/clip/pipeline.ts';
import { cosineSimilarity, descendingOrder } from '../inference/measures/features.ts';
import { imageGrid, RIGHT, WRONG } from '../report/images/grid.ts';
import type { Evaluator, Metrics } from './evaluator.ts';
import { RECALL_AT, retrieval } from './retrieval.ts';

/** Held-out pairs. */
export interface HeldOutPairs {
  /** RGB, count × size × size × 3 */
  readonly pixels: Uint8Array;
  readonly captions: readonly string[];
}

/** Labelled images to classify. */
export interface LabelledImages {
  readonly pixels: Uint8Array;
  /** The index of each image's label. */
  readonly truth: readonly number[];
  readonly labels: readonly string[];
  readonly templates: readonly string[];
}

/** Images shown with the caption closest to each. */
const SHOWN = 16;

export class ClipValidation implements Evaluator {
  readonly #clip: ClipPipeline;
  readonly #pairs: HeldOutPairs;
  readonly #labelled: LabelledImages | undefined;
  /** Features of the pairs from the last run. */
  #features: { images: Float32Array; texts: Float32Array } | undefined;

  constructor(clip: ClipPipeline, pairs: HeldOutPairs, labelled: LabelledImages | undefined) {
    this.#clip = clip;
    this.#pairs = pairs;
    this.#labelled = labelled;
  }

  /** Recalls `imageToText@k` and `textToImage@k`, and the accuracy `zeroShot` where there are labelled images. */
  async run(): Promise<Metrics> {
    const { pixels, captions } = this.#pairs;
    const images = await this.#clip.encodeImages(pixels);
    const texts = await this.#clip.encodeTexts(captions, true);
    this.#features = { images, texts };
    const { imageToText, textToImage } = retrieval(images, texts, captions, this.#clip.config.embedding);
    const recalls = RECALL_AT.flatMap((k) => [
      [`imageToText@${k}`, imageToText[k]],
      [`textToImage@${k}`, textToImage[k]],
    ]);
    return {
      ...(Object.fromEntries(recalls) as Metrics),
      ...(this.#labelled && { zeroShot: await this.#classify(this.#labelled) }),
    };
  }

  async #classify({ pixels, truth, labels, templates }: LabelledImages): Promise<number> {
    const classifier: Classifier = await makeClassifier(this.#clip, labels, templates, 'data.zeroShot', true);
    const features = await this.#clip.encodeImages(pixels);
    const { embedding } = this.#clip.config;
    const guesses = truth.map((label, i): [number, number] => {
      const feature = features.subarray(i * embedding, (i + 1) * embedding);
      const [best] = predict(classifier, feature, this.#clip.logits);
      return [label, labels.indexOf(best!.label)];
    });
    return confusion(labels.length, guesses).accuracy;
  }

  /** Held-out images, each with the held-out caption closest to it. */
  async image(): Promise<Uint8Array | undefined> {
    if (!this.#features) return undefined;
    const { images, texts } = this.#features;
    const { captions, pixels } = this.#pairs;
    const { embedding, image } = this.#clip.config;
    const length = image.size ** 2 * 3;
    const cells = captions.slice(0, SHOWN).map((own, i) => {
      const similarities = captions.map((_, j) => cosineSimilarity(images, i, texts, j, embedding));
      const caption = captions[descendingOrder(similarities)[0] as number] as string;
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
      title: 'The closest caption of each image',
    });
  }
}
