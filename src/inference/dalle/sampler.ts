// Samples image tokens for captions with a KV cache in the session. Each distinct prompt, a caption and optionally the
// first tokens of the image, is processed in one pass and copied to the rows of its images; then one call samples one
// token. With guidance each image has a second row, for the negative prompt.
//   R rows (images, or twice as many with guidance), B images, T text positions, I image tokens, V vocabulary

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { type HostTensor, intScalar } from '../../engine/native/tensor.ts';
import type { Compiled } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { inRowBlocks } from '../../engine/tfjs/row-blocks.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { imageLength, padCaption, streamLayout } from '../../models/dalle/config.ts';
import type { dalleSpec } from '../../models/dalle/model.ts';
import type { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';
import { cachedImageTokens, decodeStep, placeInCache, prefill } from './decode.ts';
import { clearedOnce, KvCache } from './kv-cache.ts';
import { guided, type SamplingSettings, sampleTokens } from './sampling.ts';

export interface SampleSettings extends SamplingSettings {
  /** Weight of the caption against the empty or negative one; 1 turns guidance off. Needs a model trained with null captions. */
  readonly guidance: number;
}

export interface SampleRequest {
  /** Tokens of the caption, at most textLength. */
  readonly captionTokens: readonly number[];
  /** Tokens of the negative prompt of guidance; the empty caption by default. */
  readonly negative?: readonly number[] | undefined;
  /** The first image tokens, at most all but one; the others are sampled. Equally many in all requests of a call. */
  readonly start?: Int32Array | undefined;
  /** Determines the image, together with the rest of the request and the settings. */
  readonly seed: number;
}

/**
 * Rows of a matrix product. Products of fewer than four rows are rounded differently, and products of more differently in
 * their last rows: an image would depend on the size of its batch.
 */
const BLOCK = 4;

export interface SamplerOptions {
  /** Images sampled at a time. */
  readonly batch: number;
  readonly settings: SampleSettings;
  /** The weights do not change any more, which makes sampling faster. */
  readonly frozen?: boolean;
}

/** Samples the tokens of `batch` images at a time. An image is bit for bit the same in any batch. */
export class Sampler {
  readonly #config: DalleModelConfig;
  readonly #batch: number;
  readonly #rows: number;
  readonly #isGuided: boolean;
  readonly #clear;
  readonly #prompt: Compiled<Record<'text' | 'image' | 'row', Tensor>, Record<never, Tensor>>;
  readonly #repeat;
  readonly #keys;
  readonly #first;
  readonly #next;

  /**
   * @param name prefix of its variables, unique in the runtime
   */
  constructor(
    runtime: Runtime,
    name: string,
    config: DalleModelConfig,
    weights: Weights<ReturnType<typeof dalleSpec>>,
    { batch, settings, frozen = false }: SamplerOptions,
  ) {
    this.#config = config;
    this.#batch = batch;
    this.#isGuided = settings.guidance !== 1;
    const rows = this.#isGuided ? 2 * batch : batch;
    this.#rows = rows;
    const { prefix } = streamLayout(config);
    const cache = new KvCache(runtime, name, config, { rows, prefix, positions: cachedImageTokens(config) });
    /** Logits of the first sampled token. */
    const logits = runtime.variable(`${name}/logits`, [rows, config.imageVocabulary]);
    const keys = runtime.variable(`${name}/keys`, [imageLength(config), batch, 2], 'int32');
    const tokens = runtime.variable(`${name}/tokens`, [batch], 'int32');
    const sampleNext = (logits_RV: Tensor2D, place: Tensor) => {
      const keys_B2 = tf.reshape(tf.gather(keys.read(), tf.reshape(place, [1]) as Tensor1D), [batch, 2]);
      const logits_BV = this.#isGuided ? guided(logits_RV, settings.guidance) : logits_RV;
      const tokens_B = sampleTokens(logits_BV, keys_B2 as Tensor2D, settings);
      tokens.assign(tokens_B);
      return { tokens: tokens_B };
    };

    this.#clear = clearedOnce(runtime, name, (zero) => {
      cache.clear(zero);
      logits.assign(tf.sub(tf.zeros([...logits.shape]), zero));
    });
    this.#prompt = runtime.compile(
      `${name}: prompt`,
      ({ text, image, row }) => {
        const start = (image.shape[1] as number) > 0 ? (image as Tensor2D) : undefined;
        const done = prefill(weights.read(), text as Tensor2D, config, start);
        cache.writePrompt(done.cache, row as Scalar);
        logits.writeRows(tf.reshape(row, [1]), done.logits_BV);
        return {};
      },
      { inOneThread: true },
    );
    this.#repeat = runtime.compile(`${name}: shared prompts`, ({ from }: { from: Tensor }) => {
      cache.repeatRows(from as Tensor1D);
      logits.assign(tf.gather(logits.read(), from as Tensor1D));
      return {};
    });
    this.#keys = runtime.compile(`${name}: keys`, (inputs: { keys: Tensor }) => {
      keys.assign(inputs.keys);
      return {};
    });
    this.#first = runtime.compile(`${name}: first token`, ({ place }: { place: Tensor }) =>
      sampleNext(logits.read() as Tensor2D, place),
    );
    this.#next = runtime.compile(
      `${name}: token`,
      ({ place }: { place: Tensor }) => {
        const last_B = tokens.read() as Tensor1D;
        const last_R = this.#isGuided ? tf.concat([last_B, last_B]) : last_B;
        const before = tf.sub(place, tf.scalar(1, 'int32')) as Scalar;
        const view = cache.view(placeInCache(before, config));
        const logits_RV = inRowBlocks(BLOCK, () =>
          decodeStep(weights.read(), view, last_R as Tensor1D, before, config),
        );
        return sampleNext(logits_RV, place);
      },
      { inOneThread: true, frozen: frozen ? weights.variables : [] },
    );
  }

  /**
   * Samples the image tokens of at most `batch` requests: [requests × I].
   * @param onToken called after each position with the number of tokens of every image, given ones included, and the
   *   tokens, [requests × I], 0 where not sampled yet; the same array each time
   * @param signal stops sampling with an AbortError
   */
  async sample(
    requests: readonly SampleRequest[],
    onToken?: (tokens: number, codes: Int32Array) => void,
    signal?: AbortSignal,
  ): Promise<Int32Array> {
    const count = imageLength(this.#config);
    const primed = this.#check(requests);
    const codes = new Int32Array(requests.length * count);
    for (const [r, { start }] of requests.entries()) if (start) codes.set(start, r * count);
    await this.#processPrompts(requests, signal);
    for (let place = primed; place < count; place++) {
      signal?.throwIfAborted();
      const sampleToken = place === primed ? this.#first : this.#next;
      const { tokens } = await sampleToken({ place: intScalar(place) });
      for (let r = 0; r < requests.length; r++) codes[r * count + place] = tokens.data[r] as number;
      onToken?.(place + 1, codes);
    }
    return codes;
  }

  /** The number of given image tokens. @throws RangeError for requests that do not go together */
  #check(requests: readonly SampleRequest[]): number {
    if (requests.length > this.#batch)
      throw new RangeError(`${requests.length} requests for a sampler of ${this.#batch}`);
    const { imageVocabulary } = this.#config;
    const [primed = 0, ...others] = new Set(requests.map(({ start }) => start?.length ?? 0));
    if (others.length > 0)
      throw new RangeError(
        `images of one call start with the same number of tokens, got ${primed} and ${others[0]}`,
      );
    const most = imageLength(this.#config) - 1;
    if (primed > most) throw new RangeError(`an image starts with at most ${most} tokens, got ${primed}`);
    for (const { start } of requests)
      for (const code of start ?? [])
        if (code < 0 || code >= imageVocabulary)
          throw new RangeError(`an image starts with codes below ${imageVocabulary}, got ${code}`);
    return primed;
  }

  /** Processes the prompts into their rows, and sets the random keys. */
  async #processPrompts(requests: readonly SampleRequest[], signal: AbortSignal | undefined): Promise<void> {
    await this.#clear();
    const none = new Int32Array();
    const captions = requests.map(({ captionTokens: caption, start = none }) => ({ caption, start }));
    const negatives = requests.map(({ negative = [], start = none }) => ({ caption: negative, start }));
    const from = Int32Array.from({ length: this.#rows }, (_, row) => row);
    const rows = new Map<string, number>();
    for (const [first, prompts] of [captions, this.#isGuided ? negatives : []].entries())
      for (const [r, { caption, start }] of prompts.entries()) {
        signal?.throwIfAborted();
        const row = first * this.#batch + r;
        const text = padCaption(caption, this.#config);
        const prompt = `${text};${start}`;
        const same = rows.get(prompt);
        if (same === undefined)
          await this.#prompt({ text: sequence(text), image: sequence(start), row: intScalar(row) });
        from[row] = same ?? row;
        rows.set(prompt, from[row]);
      }
    if (from.some((same, row) => same !== row))
      await this.#repeat({ from: { dtype: 'int32', shape: [from.length], data: from } });
    await this.#keys({ keys: this.#keysOf(requests) });
  }

  #keysOf(requests: readonly SampleRequest[]): HostTensor {
    const count = imageLength(this.#config);
    const keys = new Int32Array(count * this.#batch * 2);
    for (let place = 0; place < count; place++)
      for (const [r, { seed }] of requests.entries())
        keys.set(graphSeed(seed, 'image token', place), 2 * (place * this.#batch + r));
    return { dtype: 'int32', shape: [count, this.#batch, 2], data: keys };
  }
}

/** A batch of one, [1, n]. */
const sequence = (ids: Int32Array): HostTensor => ({ dtype: 'int32', shape: [1, ids.length], data: ids });
