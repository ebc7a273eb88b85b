// The towers as compiled functions: images and texts to features, in batches of a few sizes.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import type { Tensor, Tensor2D } from '../../engine/tfjs/tf.ts';
import { type ClipSpec, encodeImage, encodeText, normalizePixels } from '../../models/clip/model.ts';
import { textBatch } from '../../models/clip/text.ts';
import type { Parameters } from '../../nn/parameters.ts';

/** Examples in one run of the graph; what is left over goes into the smallest that holds it. */
const BATCHES = [1, 8, 32] as const;
const LARGEST = 32;

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
    return this.#inBatches(pixels.length / length, async (start, count, batch) => {
      const data = new Uint8Array(batch * length);
      data.set(pixels.subarray(start * length, (start + count) * length));
      return (await this.#images({ pixels: { dtype: 'uint8', shape: [batch, size, size, 3], data } }))
        .features;
    });
  }

  /**
   * Features of texts, of length 1.
   * @param texts as `textTokens` gives them
   * @returns count × embedding
   */
  texts(texts: readonly (readonly number[])[]): Promise<Float32Array> {
    return this.#inBatches(texts.length, async (start, count, batch) => {
      // The filling has to be a text, for the mean of none is not finite.
      const rows = Array.from({ length: batch }, (_, i) => texts[start + (i < count ? i : 0)] ?? []);
      return (await this.#texts(textBatch(rows, this.#config))).features;
    });
  }

  async #inBatches(
    total: number,
    run: (start: number, count: number, batch: number) => Promise<HostTensor>,
  ): Promise<Float32Array> {
    const { embedding } = this.#config;
    const result = new Float32Array(total * embedding);
    for (let start = 0; start < total; start += LARGEST) {
      const count = Math.min(LARGEST, total - start);
      const batch = BATCHES.find((size) => size >= count) as number;
      const { data } = await run(start, count, batch);
      result.set((data as Float32Array).subarray(0, count * embedding), start * embedding);
    }
    return result;
  }
}
