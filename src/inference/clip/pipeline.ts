// A trained CLIP with its tokenizer: encodes images and texts into features and scores images by a prompt. Opened from
// a checkpoint folder.

import { createHash } from 'node:crypto';
import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { widen } from '../../checkpoint/half.ts';
import { type ClipModelConfig, clipCheckpointSchema, clipModelSchema } from '../../config/clip.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { textTokens } from '../../models/clip/text.ts';
import { Weights } from '../../nn/weights.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { ClipEncoder } from './encoder.ts';
import type { Logits } from './probabilities.ts';

/**
 * Hash of what decides the features of a model: of its weights and, for converted weights, of the settings in which it
 * differs from a published model of its size, because they may be converted again with another activation or
 * preprocessing. Weights of training belong to one configuration.
 */
function featureHash(checkpoint: Checkpoint, model: ClipModelConfig): string {
  const weights = hashOf(checkpoint);
  if (checkpoint.state.step > 0) return weights;
  const { architecture, embedding, image, text } = model;
  const { data: published } = clipModelSchema.safeParse({
    architecture,
    embedding,
    image: pick(image, ['tower', 'size', 'patch', 'width', 'layers', 'blocks']),
    text: pick(text, ['vocabulary', 'length', 'width', 'layers']),
  });
  const own = settingsOf(model);
  if (architecture === 'dalle-pytorch' || (published && own === settingsOf(published))) return weights;
  return createHash('sha256').update(`${weights}\n${own}`).digest('hex');
}

/** Settings that came later, as all models before had them: left out, so that hashes stay the same. */
const FORMER: Readonly<Record<string, unknown>> = { loss: 'softmax', projection: 'linear', patchBias: false };
const settingsOf = (model: ClipModelConfig): string =>
  JSON.stringify(model, (key, value: unknown) => (value === FORMER[key] ? undefined : value));

const pick = <T extends object>(from: T, keys: readonly (keyof T)[]): object =>
  Object.fromEntries(keys.map((key) => [key, from[key]]));

export class ClipPipeline {
  readonly config: ClipModelConfig;
  /** See `featureHash`. */
  readonly hash: string;
  readonly logits: Logits;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: ClipEncoder;

  constructor(
    config: ClipModelConfig,
    hash: string,
    logits: Logits,
    tokenizer: Tokenizer,
    encoder: ClipEncoder,
  ) {
    this.config = config;
    this.hash = hash;
    this.logits = logits;
    this.#tokenizer = tokenizer;
    this.#encoder = encoder;
  }

  /**
   * Opens a checkpoint: its EMA weights, or the last ones when it has none.
   * @throws DataError when they do not fit the checkpoint's configuration
   */
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<ClipPipeline> {
    const config = checkpoint.config(clipCheckpointSchema).model;
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const weights = new Weights(runtime, 'clip', clipSpec(config));
    const logits = { loss: config.loss, scale: Number.NaN, bias: 0 };
    async function* withLogits(values: ReturnType<Checkpoint['tensors']>) {
      for await (const [name, value] of values) {
        if (name === 'logit_scale') logits.scale = Math.exp(Number(widen(value).data[0]));
        if (name === 'logit_bias') logits.bias = Number(widen(value).data[0]);
        yield [name, value] as const;
      }
    }
    await weights.loadEach(withLogits(checkpoint.tensors(checkpoint.bestPart, weights.fileOptions)));
    return new ClipPipeline(
      config,
      featureHash(checkpoint, config),
      logits,
      tokenizer,
      new ClipEncoder(runtime, 'CLIP', config, weights),
    );
  }

  /**
   * Features of images, of length 1.
   * @param pixels RGB, count × size × size × 3
   * @returns count × embedding
   */
  encodeImages(pixels: Uint8Array): Promise<Float32Array> {
    return this.#encoder.images(pixels);
  }

  /**
   * Features of texts, of length 1.
   * @returns count × embedding
   * @throws DataError see `textTokens`
   */
  encodeTexts(texts: readonly string[], truncate = false): Promise<Float32Array> {
    return this.#encoder.texts(texts.map((text) => textTokens(text, this.#tokenizer, this.config, truncate)));
  }

  /** Checks a text as `encodeTexts` and `score` do, without running the model. Throws DataError, see `textTokens`. */
  checkText(text: string, truncate = false): void {
    textTokens(text, this.#tokenizer, this.config, truncate);
  }

  /**
   * Cosines of a prompt and each image.
   * @param pixels RGB, count × size × size × 3
   * @throws DataError see `textTokens`
   */
  async score(prompt: string, pixels: Uint8Array, truncate = false): Promise<number[]> {
    const text = await this.encodeTexts([prompt], truncate);
    const images = await this.encodeImages(pixels);
    const { embedding } = this.config;
    return Array.from({ length: images.length / embedding }, (_, i) =>
      text.reduce((sum, value, k) => sum + value * (images[i * embedding + k] as number), 0),
    );
  }
}
