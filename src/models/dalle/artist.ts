// A trained DALL·E, whole: captions in, pictures out. Opened from one checkpoint folder, which carries the dVAE and
// the tokenizer.

import type { Checkpoint } from '../../checkpoint/read.ts';
import { hashOf } from '../../checkpoint/read.ts';
import { type DalleCheckpointConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import { loadConfig } from '../../config/load.ts';
import type { Runtime } from '../../engine/runtime.ts';
import { Weights } from '../../nn/weights.ts';
import { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import { dalleSpec } from './model.ts';
import { Sampler, type SampleSettings } from './sample.ts';

export interface Picture {
  readonly prompt: string;
  readonly seed: number;
  /** RGB, size × size × 3 */
  readonly pixels: Uint8Array;
  readonly size: number;
}

export class Artist {
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
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<Artist> {
    const config = loadConfig(dalleCheckpointSchema, { file: checkpoint.configFile });
    const codec = await DvaeCodec.open(runtime, await checkpoint.dvae());
    const tokenizer = await BpeTokenizer.load(checkpoint.tokenizerFile);
    const weights = new Weights(runtime, 'dalle', dalleSpec(config.model));
    await weights.load(await checkpoint.read(checkpoint.bestPart, weights.expected()));
    return new Artist(runtime, config, hashOf(checkpoint), codec, tokenizer, weights);
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
        fix: 'say what the picture shows: --prompt "a red circle"',
      });
    if (tokens.length > textLength && !truncate) {
      throw new DataError(`the prompt has ${tokens.length} tokens, the model reads ${textLength}`, {
        where: `${prompt.slice(0, 60)}…`,
        fix: 'shorten it, or add --truncate',
      });
    }
    return tokens.slice(0, textLength);
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
   * Pictures for prompts, in batches; each as soon as its batch is decoded.
   * @param onToken told how many of all tokens are drawn
   */
  async *draw(
    requests: readonly {
      readonly prompt: string;
      readonly tokens: readonly number[];
      readonly seed: number;
    }[],
    settings: SampleSettings,
    batch: number,
    onToken: (done: number) => void = () => {},
    signal?: AbortSignal,
  ): AsyncGenerator<Picture> {
    this.checkSettings(settings);
    const sampler = new Sampler(
      this.#runtime,
      `sampler ${this.#samplers++}`,
      this.config.model,
      this.#weights,
      batch,
      settings,
    );
    const size = this.codec.config.imageSize;
    const length = this.codec.grid ** 2;
    for (let start = 0; start < requests.length; start += batch) {
      const group = requests.slice(start, start + batch);
      const codes = await sampler.sample(
        group.map(({ tokens, seed }) => ({ caption: tokens, seed })),
        (tokens) => onToken(start * length + tokens * group.length),
        signal,
      );
      const pixels = await this.codec.decode(codes);
      for (const [i, { prompt, seed }] of group.entries()) {
        yield { prompt, seed, size, pixels: pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3) };
      }
    }
  }
}
