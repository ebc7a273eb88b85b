// A generator at work: prompts in, images out, in batches.

import { packsOnce } from '../../engine/session/packs-once.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Generator } from './generator.ts';
import { topKCount } from './logits-processor.ts';
import { type SampleRequest, Sampler } from './sampler.ts';
import { rowsOf, type SampleSettings, type SamplingSettings } from './sampling.ts';

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
  /** Characters that the tokenizer does not know. */
  readonly unread: string;
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

export class Pipeline<G extends Generator = Generator> {
  readonly generator: G;
  readonly #runtime: Runtime;
  /** Samplers at rest, by settings and batch: each keeps a KV cache and packed weights. */
  readonly #idle = new Map<string, Sampler>();
  #samplers = 0;

  constructor(runtime: Runtime, generator: G) {
    this.#runtime = runtime;
    this.generator = generator;
  }

  /**
   * The tokens of a prompt.
   * @throws UsageError E_PROMPT_EMPTY, E_PROMPT_UNREADABLE
   * @throws DataError E_PROMPT_TOO_LONG when it has more tokens than the model reads, without `truncate`
   */
  encode(prompt: string, { truncate = false, option = 'prompts' }: EncodeOptions = {}): EncodedPrompt {
    const { tokenizer, textLength } = this.generator;
    const tokens = tokenizer.encode(prompt);
    const unread = tokenizer.unread?.(prompt) ?? '';
    if (tokens.length === 0 && unread !== '')
      throw new UsageError(
        `the tokenizer of ${this.generator.what} can read nothing of the prompt “${prompt}”`,
        {
          code: 'E_PROMPT_UNREADABLE',
          option,
          fix: 'write it in English: letters from a to z, digits and emojis',
        },
      );
    if (tokens.length === 0)
      throw new UsageError('the prompt is empty', {
        code: 'E_PROMPT_EMPTY',
        option,
        fix: 'describe the image, for example "a red circle"',
      });
    const isTruncated = tokens.length > textLength;
    if (isTruncated && !truncate) {
      throw new DataError(`the prompt has ${tokens.length} tokens, the model reads ${textLength}`, {
        code: 'E_PROMPT_TOO_LONG',
        where: prompt.length > MAX_QUOTED ? `${prompt.slice(0, MAX_QUOTED)}…` : prompt,
        fix: 'shorten it, or set `truncate` to cut it',
      });
    }
    return { tokens: tokens.slice(0, textLength), isTruncated, unread };
  }

  /**
   * Completes captions; see `CaptionModel`. An empty beginning leaves the whole caption to the model.
   * @throws UsageError E_COMPLETION_EMPTY when the model ends an empty caption at once, E_COMPLETION_UNSUPPORTED when it
   * does not predict text
   */
  async *complete(
    beginnings: readonly string[],
    { temperature, topP, topK, seed, signal }: CompleteOptions,
  ): AsyncGenerator<CompletedCaption> {
    if (beginnings.length === 0) return;
    const { what, captions, tokenizer } = this.generator;
    if (!captions) {
      throw new UsageError(`${what} reads captions and does not write them`, {
        code: 'E_COMPLETION_UNSUPPORTED',
        option: 'complete',
        fix: 'give the whole caption as a prompt',
      });
    }
    const sampling = { temperature, topP, topK: topKCount(topK, captions.classes) };
    const completer = captions.open(this.#runtime, `completer ${this.#samplers++}`, sampling);
    for (const beginning of beginnings) {
      const tokens = beginning.trim() === '' ? [] : this.encode(beginning, { option: 'complete' }).tokens;
      await this.generator.tokens.loaded?.all();
      const completed = await completer.complete(tokens, seed, signal);
      // The model may have classes beyond the tokenizer's vocabulary.
      const known = completed.filter((token) => token < tokenizer.idCount);
      const caption = tokenizer.decode(known).trim();
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
   * Generates images in batches, and yields each image as soon as its batch is decoded. One call at a time of a generator
   * with a start token, whose weights are given back when they are packed.
   * @throws UsageError as `Generator.checkSettings` does, and the reason of `signal`
   */
  async *generate(
    requests: readonly GenerateRequest[],
    settings: SampleSettings,
    options: GenerateOptions,
  ): AsyncGenerator<GeneratedImage> {
    this.generator.checkSettings(settings);
    const key = samplerKey(settings, options.batch);
    const sampler = this.#idle.get(key) ?? this.#openSampler(settings, requests, options.batch);
    this.#idle.delete(key);
    try {
      yield* this.#generate(sampler, requests, options);
    } finally {
      this.#idle.set(key, sampler);
    }
  }

  /**
   * Processes the prompts of the first batch that `generate` will be called for with the same arguments; may begin while
   * the weights are loaded.
   * @throws UsageError as `Generator.checkSettings` does, the reason of `signal`, and what loading throws
   */
  async prepare(
    requests: readonly GenerateRequest[],
    settings: SampleSettings,
    { batch, signal }: GenerateOptions,
  ): Promise<void> {
    this.generator.checkSettings(settings);
    const sampler = this.#openSampler(settings, requests, batch);
    await sampler.prepare(requests.slice(0, batch), signal);
    this.#idle.set(samplerKey(settings, batch), sampler);
  }

  #openSampler(settings: SampleSettings, requests: readonly SampleRequest[], batch: number): Sampler {
    const { tokens } = this.generator;
    const rows = rowsOf(batch, settings);
    // Weights that are read no more need not be held beside their packed copies.
    const releases = async () =>
      tokens.loaded !== undefined &&
      (tokens.startToken !== undefined || arePromptsReadOnce(requests, batch)) &&
      (await packsOnce(this.#runtime, tokens.variables, rows, tokens.precision));
    const name = `sampler ${this.#samplers++}`;
    return new Sampler(this.#runtime, name, tokens, { batch, settings, frozen: true, releases });
  }

  async *#generate(
    sampler: Sampler,
    requests: readonly GenerateRequest[],
    { batch, onToken, signal }: GenerateOptions,
  ): AsyncGenerator<GeneratedImage> {
    const { codec, tokens } = this.generator;
    const size = codec.config.imageSize;
    const length = tokens.imageLength;
    for (let first = 0; first < requests.length; first += batch) {
      const group = requests.slice(first, first + batch);
      const imageTokens = await sampler.sample(
        group,
        (tokenCount, codes) =>
          onToken?.(first * length + tokenCount * group.length, { first, tokenCount, imageTokens: codes }),
        signal,
      );
      const pixels = await codec.decode(imageTokens);
      for (const [i, { prompt, seed }] of group.entries()) {
        yield { prompt, seed, size, pixels: pixels.subarray(i * size ** 2 * 3, (i + 1) * size ** 2 * 3) };
      }
    }
  }
}

const samplerKey = ({ temperature, topK, topP, guidance }: SampleSettings, batch: number): string =>
  JSON.stringify({ temperature, topK, topP, guidance, batch });

/** Whether each row of a sampler has one prompt in all batches. */
function arePromptsReadOnce(requests: readonly SampleRequest[], batch: number): boolean {
  const promptOf = ({ captionTokens, negative, start }: SampleRequest): string =>
    `${captionTokens};${negative};${start}`;
  return requests.every((request, i) => promptOf(request) === promptOf(requests[i % batch] as SampleRequest));
}
