// A trained DALL·E with its dVAE and tokenizer: generates images for prompts. Opened from a checkpoint folder.

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DalleCheckpointConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { maxCaptionTokens, textClasses } from '../../models/dalle/config.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { Weights } from '../../nn/weights.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import { CaptionCompleter } from './complete.ts';
import { topKCount } from './logits-processor.ts';
import { type SampleRequest, Sampler, type SampleSettings } from './sampler.ts';
import type { SamplingSettings } from './sampling.ts';

export interface GeneratedImage {
  readonly prompt: string;
  readonly seed: number;
  /** RGB, size × size × 3; a part of the array of its batch */
  readonly pixels: Uint8Array;
  readonly size: number;
}

/** A request for one image; `captionTokens` are those of the prompt, see `encode`. */
export interface GenerateRequest extends SampleRequest {
  readonly prompt: string;
}

/** The images of a batch that is being sampled. */
export interface Unfinished {
  /** Index of its first image among all requests. */
  readonly first: number;
  /** Image tokens of each image so far, given ones included. */
  readonly tokenCount: number;
  /** images × grid × grid, 0 where not sampled yet; the same array each time */
  readonly imageTokens: Int32Array;
}

/** The tokens of a prompt. */
export interface EncodedPrompt {
  /** At most as many as the model reads. */
  readonly tokens: readonly number[];
  /** Whether the prompt has more tokens than the model reads, and was cut. */
  readonly isTruncated: boolean;
}

export interface EncodeOptions {
  /** Whether a prompt that is too long is cut; it is an error by default. */
  readonly truncate?: boolean;
  /** The option that the prompt is from, for errors; `prompts` by default. */
  readonly option?: string;
}

export interface CompleteOptions extends Pick<SamplingSettings, 'temperature' | 'topP'> {
  /** A number of tokens, or below 1 the share of the text classes to leave out: see `topKCount`. */
  readonly topK?: number | undefined;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

/** A caption that the model completed. */
export interface CompletedCaption {
  readonly beginning: string;
  /** As the tokenizer normalizes it. */
  readonly caption: string;
}

export interface GenerateOptions {
  /** Images sampled at a time. */
  readonly batch: number;
  /** Called after each image token with the number of tokens of all images, and the unfinished batch. */
  readonly onToken?: (done: number, unfinished: Unfinished) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Characters of a prompt that an error quotes. */
const MAX_QUOTED = 60;

export class DallePipeline {
  readonly config: DalleCheckpointConfig;
  /** Identifies the Transformer's weights. */
  readonly hash: string;
  readonly codec: DvaeCodec;
  readonly tokenizer: Tokenizer;
  readonly #runtime: Runtime;
  readonly #weights: Weights<ReturnType<typeof dalleSpec>>;
  #samplers = 0;

  private constructor(
    runtime: Runtime,
    config: DalleCheckpointConfig,
    hash: string,
    codec: DvaeCodec,
    tokenizer: Tokenizer,
    weights: Weights<ReturnType<typeof dalleSpec>>,
  ) {
    this.#runtime = runtime;
    this.config = config;
    this.hash = hash;
    this.codec = codec;
    this.tokenizer = tokenizer;
    this.#weights = weights;
  }

  /**
   * Opens a checkpoint: its EMA weights, or the last ones when it has none.
   * @throws DataError when they do not fit the checkpoint's configuration
   */
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<DallePipeline> {
    const config = checkpoint.config(dalleCheckpointSchema);
    const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
    const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
    const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
    await weights.loadEach(checkpoint.tensors(checkpoint.bestPart, weights.expected()));
    return new DallePipeline(runtime, config, hashOf(checkpoint), codec, tokenizer, weights);
  }

  /**
   * The tokens of a prompt.
   * @throws UsageError E_PROMPT_EMPTY
   * @throws DataError E_PROMPT_TOO_LONG when it has more tokens than the model reads, without `truncate`
   */
  encode(prompt: string, { truncate = false, option = 'prompts' }: EncodeOptions = {}): EncodedPrompt {
    const tokens = this.tokenizer.encode(prompt);
    const max = maxCaptionTokens(this.config.model);
    if (tokens.length === 0)
      throw new UsageError('the prompt is empty', {
        code: 'E_PROMPT_EMPTY',
        option,
        fix: 'describe the image, for example "a red circle"',
      });
    const isTruncated = tokens.length > max;
    if (isTruncated && !truncate) {
      throw new DataError(`the prompt has ${tokens.length} tokens, the model reads ${max}`, {
        code: 'E_PROMPT_TOO_LONG',
        where: prompt.length > MAX_QUOTED ? `${prompt.slice(0, MAX_QUOTED)}…` : prompt,
        fix: 'shorten it, or set `truncate` to cut it',
      });
    }
    return { tokens: tokens.slice(0, max), isTruncated };
  }

  /** @throws UsageError E_GUIDANCE_UNTRAINED for guidance with a model that was trained without null captions */
  checkSettings({ guidance }: SampleSettings): void {
    if (guidance !== 1 && this.config.train.nullCaptions === 0) {
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

  /**
   * Completes captions; see CaptionCompleter. An empty beginning leaves the whole caption to the model.
   * @throws UsageError E_COMPLETION_EMPTY when the model ends an empty caption at once
   */
  async *complete(
    beginnings: readonly string[],
    { temperature, topP, topK, seed, signal }: CompleteOptions,
  ): AsyncGenerator<CompletedCaption> {
    if (beginnings.length === 0) return;
    const { model } = this.config;
    const sampling = { temperature, topP, topK: topKCount(topK, textClasses(model)) };
    const name = `completer ${this.#samplers++}`;
    const completer = new CaptionCompleter(this.#runtime, name, model, this.#weights, sampling);
    for (const beginning of beginnings) {
      const tokens = beginning.trim() === '' ? [] : this.encode(beginning, { option: 'complete' }).tokens;
      const completed = await completer.complete(tokens, seed, signal);
      // The model may have classes beyond the tokenizer's vocabulary.
      const known = completed.filter((token) => token < this.tokenizer.idCount);
      const caption = this.tokenizer.decode(known).trim();
      if (caption === '') {
        throw new UsageError('the model ended the caption before its first word', {
          code: 'E_COMPLETION_EMPTY',
          option: 'complete',
          fix: 'give it a first word, or another `seed`',
        });
      }
      yield { beginning, caption };
    }
  }

  /**
   * Generates images in batches, and yields each image as soon as its batch is decoded.
   * @throws UsageError as `checkSettings` does, and the reason of `signal`
   */
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
      { batch, settings, frozen: true },
    );
    const size = this.codec.config.imageSize;
    const length = this.codec.grid ** 2;
    for (let first = 0; first < requests.length; first += batch) {
      const group = requests.slice(first, first + batch);
      const imageTokens = await sampler.sample(
        group,
        (tokenCount, tokens) =>
          onToken?.(first * length + tokenCount * group.length, { first, tokenCount, imageTokens: tokens }),
        signal,
      );
      const pixels = await this.codec.decode(imageTokens);
      for (const [i, { prompt, seed }] of group.entries()) {
        yield { prompt, seed, size, pixels: pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3) };
      }
    }
  }
}
