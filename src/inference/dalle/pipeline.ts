// A trained DALL·E, whole: captions in, images out. Opened from one checkpoint folder, which carries the dVAE and
// the tokenizer.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { hashOf } from '../../checkpoint/checkpoint.ts';
import { type DalleCheckpointConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { textClasses } from '../../models/dalle/config.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { Weights } from '../../nn/weights.ts';
import { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import { CaptionCompleter } from './complete.ts';
import { topKCount } from './logits-processor.ts';
import { Sampler, type SampleSettings } from './sampler.ts';

export interface GeneratedImage {
  readonly prompt: string;
  readonly seed: number;
  /** RGB, size × size × 3 */
  readonly pixels: Uint8Array;
  readonly size: number;
}

/** An image to be drawn. */
export interface GenerateRequest {
  readonly prompt: string;
  /** Of the prompt: see `encode`. */
  readonly captionTokens: readonly number[];
  /** What guidance steers away from; the empty caption where it is left out. */
  readonly negative?: readonly number[];
  /** The first codes of the image; those of all requests are equally many. */
  readonly start?: Int32Array;
  readonly seed: number;
}

/** What there is of the images that are being drawn. */
export interface Unfinished {
  /** Index of the first of them among all requests. */
  readonly first: number;
  /** Codes of each image so far, those it started with among them. */
  readonly tokenCount: number;
  /** images × grid × grid; what is not drawn yet is 0 */
  readonly codes: Int32Array;
}

export interface GenerateOptions {
  /** Images drawn at a time. */
  readonly batch: number;
  /** Told after each code how many codes of all images there are, and what they are. */
  readonly onToken?: (done: number, unfinished: Unfinished) => void;
  readonly signal?: AbortSignal | undefined;
}

export class DallePipeline {
  readonly config: DalleCheckpointConfig;
  /** Identifies the Transformer's weights. */
  readonly hash: string;
  readonly codec: DvaeCodec;
  readonly tokenizer: BpeTokenizer;
  readonly #runtime: Runtime;
  readonly #weights: Weights<ReturnType<typeof dalleSpec>>;
  #samplers = 0;

  private constructor(
    runtime: Runtime,
    config: DalleCheckpointConfig,
    hash: string,
    codec: DvaeCodec,
    tokenizer: BpeTokenizer,
    weights: Weights<ReturnType<typeof dalleSpec>>,
  ) {
    this.#runtime = runtime;
    this.config = config;
    this.hash = hash;
    this.codec = codec;
    this.tokenizer = tokenizer;
    this.#weights = weights;
  }

  /** The averaged weights where the checkpoint has them. */
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<DallePipeline> {
    const config = checkpoint.config(dalleCheckpointSchema);
    const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
    const tokenizer = await BpeTokenizer.load(checkpoint.tokenizerFile);
    const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
    await weights.load(await checkpoint.read(checkpoint.bestPart, weights.expected()));
    return new DallePipeline(runtime, config, hashOf(checkpoint), codec, tokenizer, weights);
  }

  /**
   * A caption's tokens.
   * @throws UsageError when the prompt says nothing
   * @throws DataError when it is longer than the model's text and `truncate` is not set
   */
  encode(prompt: string, truncate: boolean): number[] {
    const tokens = this.tokenizer.encode(prompt);
    const { textLength } = this.config.model;
    if (tokens.length === 0)
      throw new UsageError('the prompt is empty', {
        fix: 'say what the image shows: --prompt "a red circle"',
      });
    if (tokens.length > textLength && !truncate) {
      throw new DataError(`the prompt has ${tokens.length} tokens, the model reads ${textLength}`, {
        where: `${prompt.slice(0, 60)}…`,
        fix: 'shorten it, or add --truncate',
      });
    }
    return tokens.slice(0, textLength);
  }

  /** Whether the model reads only the beginning of the prompt. */
  isTooLong(prompt: string): boolean {
    return this.tokenizer.encode(prompt).length > this.config.model.textLength;
  }

  /** Refuses guidance that the model was not trained for. */
  checkSettings({ guidance }: SampleSettings): void {
    if (guidance !== 1 && this.config.train.nullCaptions === 0) {
      throw new UsageError(
        `guidance ${guidance} needs a model that was trained with empty captions, and this one was not`,
        {
          where: '--guidance',
          fix: 'leave guidance out, or train with train.nullCaptions above 0, for example 0.1',
        },
      );
    }
  }

  /**
   * Goes on with the beginnings of captions; see CaptionCompleter. An empty beginning leaves all of the caption to the model.
   * @param topK as users say it: a number of tokens, or the share of them left out
   * @returns a caption for each beginning, normalised as the tokenizer has it
   * @throws UsageError when the model ends an empty caption at once
   */
  async *complete(
    beginnings: readonly string[],
    { temperature, topP }: SampleSettings,
    topK: number | undefined,
    seed: number,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly [beginning: string, caption: string]> {
    if (beginnings.length === 0) return;
    const { model } = this.config;
    const drawn = { temperature, topP, topK: topKCount(topK, textClasses(model)) };
    const name = `completer ${this.#samplers++}`;
    const completer = new CaptionCompleter(this.#runtime, name, model, this.#weights, drawn);
    for (const beginning of beginnings) {
      const tokens = beginning.trim() === '' ? [] : this.encode(beginning, false);
      const completed = await completer.complete(tokens, seed, signal);
      // The model may have classes for more tokens than the tokenizer came to have.
      const known = completed.filter((token) => token < this.tokenizer.vocabularySize);
      const caption = this.tokenizer.decode(known).trim();
      if (caption === '') {
        throw new UsageError('the model ended the caption before its first word', {
          where: '--complete',
          fix: 'give it a word to begin with, or another --seed',
        });
      }
      yield [beginning, caption];
    }
  }

  /** Images for prompts, in batches; each as soon as its batch is decoded. */
  async *generate(
    requests: readonly GenerateRequest[],
    settings: SampleSettings,
    { batch, onToken, signal }: GenerateOptions,
  ): AsyncGenerator<GeneratedImage> {
    this.checkSettings(settings);
    const sampler = new Sampler(
      this.#runtime,
      `sampler ${this.#samplers++}`,
      this.config.model,
      this.#weights,
      batch,
      settings,
      true,
    );
    const size = this.codec.config.imageSize;
    const length = this.codec.grid ** 2;
    for (let first = 0; first < requests.length; first += batch) {
      const group = requests.slice(first, first + batch);
      const drawn = await sampler.sample(
        group.map(({ captionTokens: tokens, ...request }) => ({ ...request, caption: tokens })),
        (tokens, codes) =>
          onToken?.(first * length + tokens * group.length, { first, tokenCount: tokens, codes }),
        signal,
      );
      const pixels = await this.codec.decode(drawn);
      for (const [i, { prompt, seed }] of group.entries()) {
        yield { prompt, seed, size, pixels: pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3) };
      }
    }
  }
}
