// CLIP's towers as compiled functions: encode images and texts into features, in batches of a few sizes.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { type ClipSpec, encodeImage, encodeText, normalizePixels } from '../../models/clip/model.ts';
import { positionsToRead, textBatch } from '../../models/clip/text.ts';
import type { Parameters } from '../../nn/parameters.ts';
import { paddedBatch, runInBatches } from '../batched.ts';

/** Batch sizes that the graph is built for. */
const SIZES = [1, 8, 32] as const;

export class ClipEncoder {
  readonly #config: ClipModelConfig;
  readonly #images;
  readonly #texts;

  /** @param name tells the compiled functions of several encoders apart */
  constructor(
    runtime: Runtime,
    name: string,
    config: ClipModelConfig,
    weights: { read(): Parameters<ClipSpec> },
  ) {
    this.#config = config;
    this.#images = runtime.compile(`${name}: encode images`, ({ pixels }: { pixels: Tensor }) => ({
      features: encodeImage(weights.read().image, normalizePixels(pixels, config.image), config),
    }));
    this.#texts = runtime.compile(
      `${name}: encode texts`,
      ({ text, mask }: { text: Tensor; mask: Tensor }) => ({
        features: encodeText(weights.read().text, text as Tensor2D, mask as Tensor2D, config),
      }),
    );
  }

  /**
   * Features of images, of length 1.
   * @param pixels RGB, count × size × size × 3
   * @returns count × embedding
   */
  images(pixels: Uint8Array): Promise<Float32Array> {
    const { size } = this.#config.image;
    const length = size ** 2 * 3;
    return runInBatches(this.#batches(pixels.length / length), async (batch) => {
      const data = paddedBatch(pixels, batch, length, Uint8Array);
      const shape = [batch.size, size, size, 3];
      const { features } = await this.#images({ pixels: { dtype: 'uint8', shape, data } });
      return features.data as Float32Array;
    });
  }

  /**
   * Features of texts, of length 1.
   * @param texts the ids of each, see `textTokens`
   * @returns count × embedding
   */
  texts(texts: readonly (readonly number[])[]): Promise<Float32Array> {
    return runInBatches(this.#batches(texts.length), async ({ start, count, size }) => {
      // The padding has to be a text: the mean over the positions of an empty one is not finite.
      const rows = Array.from({ length: size }, (_, i) => texts[start + (i < count ? i : 0)] ?? []);
      const { features } = await this.#texts(
        textBatch(rows, this.#config, positionsToRead(rows, this.#config)),
      );
      return features.data as Float32Array;
    });
  }

  #batches(count: number) {
    return { count, sizes: SIZES, itemLength: this.#config.embedding, array: Float32Array };
  }
}
