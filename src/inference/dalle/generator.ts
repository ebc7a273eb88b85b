// DALL·E as a generator: the joint Transformer with its dVAE and tokenizer, opened from a checkpoint folder.
//   R rows of the sampler, B batch, always 1, T text positions, J given image tokens, V vocabulary

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DalleCheckpointConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import type { Precision } from '../../engine/graph/precision.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { isSoonerByOneThread } from '../../engine/session/threads.ts';
import type { Scalar, Tensor1D } from '../../engine/tfjs/tf.ts';
import {
  imageLength,
  maxCaptionTokens,
  padCaption,
  streamLayout,
  textClasses,
} from '../../models/dalle/config.ts';
import { type DalleSpec, dalleSpec } from '../../models/dalle/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { type WeightStorage, Weights } from '../../nn/weights.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';
import { sizeOf } from '../../util/shape.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import type { CaptionModel, Generator, TokenModel } from '../sampler/generator.ts';
import { loadedWeights } from '../sampler/loaded-weights.ts';
import type { SampleSettings } from '../sampler/sampling.ts';
import { CaptionCompleter } from './complete.ts';
import { cachedImageTokens, decodeStep, placeInCache } from './decode.ts';
import { KvCache } from './kv-cache.ts';
import { PART_BYTES, promptParts } from './prompt.ts';

/** Weights of products of steps, and vectors. */
const STEP_WEIGHTS = /^(blocks|norm|head_norm|image_head)\b/;

/** In which types the weights of a joint Transformer are kept that samples in `type`. */
export const dalleStorage = (type: Precision): WeightStorage => ({
  type,
  // Their products are in float32; tied ones are tables of embeddings too.
  keeps: (name) => /^(text|image)_(head|embedding)\b/.test(name),
});

/** Elements of the largest matrix of a step. */
const largestMatrix = (config: DalleModelConfig): number =>
  Math.max(
    ...flatten(dalleSpec(config))
      .filter(([name, { shape }]) => STEP_WEIGHTS.test(name) && shape.length === 2)
      .map(([, { shape }]) => sizeOf(shape)),
  );

/** The runtime for a model's steps of at most `rows` rows: this one, or one with a single thread where that is sooner. */
export const runtimeForSteps = (runtime: Runtime, config: DalleModelConfig, rows: number): Runtime =>
  isSoonerByOneThread(rows, largestMatrix(config)) ? runtime.withOneThread() : runtime;

/**
 * The joint Transformer, as the sampler sees it.
 * @param partBytes the least weights of a part of a prompt's pass
 */
export const dalleTokens = (
  config: DalleModelConfig,
  weights: Weights<DalleSpec>,
  precision: Precision = 'float32',
  partBytes = PART_BYTES,
): TokenModel => ({
  precision,
  imageLength: imageLength(config),
  imageVocabulary: config.imageVocabulary,
  variables: Array.from(weights.entries).flatMap(([name, { variable }]) =>
    STEP_WEIGHTS.test(name) ? [variable] : [],
  ),
  textInput: (tokens) => padCaption(tokens, config),
  openRows(runtime, name, rows) {
    const { prefix } = streamLayout(config);
    const sizes = { rows, prefix, positions: cachedImageTokens(config) };
    const cache = new KvCache(runtime, name, config, sizes, precision);
    return {
      variables: cache.variables,
      repeat: (from_R) => cache.repeatRows(from_R),
      prompt: promptParts(config, weights, cache, partBytes),
      step: (token_R: Tensor1D, place: Scalar) =>
        decodeStep(weights.read(), cache.view(placeInCache(place, config)), token_R, place, config),
    };
  },
});

export class DalleGenerator implements Generator {
  readonly what = 'DALL·E';
  readonly config: DalleCheckpointConfig;
  readonly hash: string;
  readonly codec: DvaeCodec;
  readonly tokenizer: Tokenizer;
  readonly tokens: TokenModel;
  readonly captions: CaptionModel;

  private constructor(
    config: DalleCheckpointConfig,
    hash: string,
    codec: DvaeCodec,
    tokenizer: Tokenizer,
    weights: Weights<DalleSpec>,
    tokens: TokenModel,
  ) {
    const { model } = config;
    this.config = config;
    this.hash = hash;
    this.codec = codec;
    this.tokenizer = tokenizer;
    this.tokens = tokens;
    this.captions = {
      classes: textClasses(model),
      open: (runtime, name, settings) => new CaptionCompleter(runtime, name, model, weights, settings),
    };
  }

  /**
   * Opens a checkpoint: its EMA weights, or the last ones when it has none. They are being loaded when it returns.
   * @param precision type of the products, and in which weights and KV cache are kept
   * @param ofCodec the runtime of the dVAE
   * @throws DataError when it lacks a part, or its configuration is not one
   */
  static async begin(
    runtime: Runtime,
    checkpoint: Checkpoint,
    precision: Precision = 'float32',
    ofCodec: Runtime = runtime,
  ): Promise<DalleGenerator> {
    const config = checkpoint.config(dalleCheckpointSchema);
    const weights = new Weights(runtime, 'dalle', dalleSpec(config.model), dalleStorage(precision));
    // First: the disk is at work while the small parts are opened.
    const loaded = loadedWeights(weights, checkpoint);
    const codec = await DvaeCodec.open(ofCodec, await checkpoint.dvae());
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const tokens = { ...dalleTokens(config.model, weights, precision), loaded };
    return new DalleGenerator(config, hashOf(checkpoint), codec, tokenizer, weights, tokens);
  }

  /**
   * Opens a checkpoint as `begin` does, and loads its weights.
   * @throws DataError when they do not fit the checkpoint's configuration
   */
  static async open(...given: Parameters<typeof DalleGenerator.begin>): Promise<DalleGenerator> {
    const generator = await DalleGenerator.begin(...given);
    await generator.tokens.loaded?.all();
    return generator;
  }

  get textLength(): number {
    return maxCaptionTokens(this.config.model);
  }

  /** @throws UsageError E_GUIDANCE_UNTRAINED for guidance with a model that was trained without null captions */
  checkSettings({ guidance }: SampleSettings): void {
    if (guidance === 1 || this.config.train.nullCaptions > 0) return;
    throw new UsageError(
      `\`guidance\` ${guidance} needs a model trained with null captions, and this one was not`,
      {
        code: 'E_GUIDANCE_UNTRAINED',
        option: 'guidance',
        fix: 'leave `guidance` out, or train with train.nullCaptions above 0, for example 0.1',
      },
    );
  }
}
