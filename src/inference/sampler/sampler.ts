// Samples image tokens for captions, of any generator. Each distinct prompt, a caption and optionally the first tokens of
// the image, is processed in one pass and copied to the rows of its images; then one call samples one token. With
// guidance each image has a second row, for the negative prompt.
//   R rows (images, or twice as many with guidance), B images, T text positions, I image tokens, V vocabulary

import { type HostTensor, intScalar } from '../../engine/native/tensor.ts';
import type { Compiled, OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { inRowBlocks } from '../../engine/tfjs/row-blocks.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { graphSeed } from '../../util/random.ts';
import type { PromptPart, TokenModel } from './generator.ts';
import { clearedOnce } from './kv-table.ts';
import { guided, rowsOf, type SampleSettings, sampleTokens } from './sampling.ts';

export interface SampleRequest {
  /** Tokens of the caption, at most the generator's textLength. */
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

type PromptTensors = Readonly<Record<'text' | 'image' | 'row', Tensor>> & { readonly stream?: Tensor };
type StepInputs = { readonly place: Tensor; readonly last?: Tensor };
type StepOutputs = { readonly tokens: Tensor };
type Step = (inputs: OnHost<StepInputs>) => Promise<OnHost<StepOutputs>>;

export interface SamplerOptions {
  /** Images sampled at a time. */
  readonly batch: number;
  readonly settings: SampleSettings;
  /** The weights do not change any more, which makes sampling faster. */
  readonly frozen?: boolean;
  /**
   * Asked at the first step: whether that gives the frozen weights back (`CompileOptions`). They are loaded again where
   * they are needed.
   */
  readonly releases?: () => Promise<boolean>;
}

/** Samples the tokens of `batch` images at a time. An image is bit for bit the same in any batch. */
export class Sampler {
  readonly #model: TokenModel;
  readonly #batch: number;
  readonly #rows: number;
  readonly #isGuided: boolean;
  readonly #isFrozen: boolean;
  readonly #releases: () => Promise<boolean>;
  /** The prompt that each row holds, while weights do not change: steps leave it as it is. */
  #held: ReadonlyMap<number, string> = new Map();
  readonly #clear;
  readonly #prompt: readonly {
    readonly weights: PromptPart['weights'];
    readonly run: Compiled<PromptTensors, { stream?: Tensor }>;
  }[];
  readonly #repeat;
  readonly #keys;
  readonly #first;
  readonly #compileStep: (releases: boolean) => Step;
  /** From the first step on. */
  #next: Step | undefined;

  /**
   * @param name prefix of its variables, unique in the runtime
   */
  constructor(
    runtime: Runtime,
    name: string,
    model: TokenModel,
    { batch, settings, frozen = false, releases = async () => false }: SamplerOptions,
  ) {
    this.#model = model;
    this.#batch = batch;
    this.#isGuided = settings.guidance !== 1;
    this.#isFrozen = frozen;
    this.#releases = releases;
    const rows = rowsOf(batch, settings);
    this.#rows = rows;
    const { imageLength, imageVocabulary, precision } = model;
    const state = model.openRows(runtime, name, rows);
    /** Logits of the first sampled token. */
    const logits = runtime.variable(`${name}/logits`, [rows, imageVocabulary]);
    const keys = runtime.variable(`${name}/keys`, [imageLength, batch, 2], 'int32');
    const tokens = runtime.variable(`${name}/tokens`, [batch], 'int32');
    const sampleNext = (logits_RV: Tensor2D, place: Tensor) => {
      const keys_B2 = tf.reshape(tf.gather(keys.read(), tf.reshape(place, [1]) as Tensor1D), [batch, 2]);
      const logits_BV = this.#isGuided ? guided(logits_RV, settings.guidance) : logits_RV;
      const tokens_B = sampleTokens(logits_BV, keys_B2 as Tensor2D, settings);
      tokens.assign(tokens_B);
      return { tokens: tokens_B };
    };

    this.#clear = clearedOnce(runtime, name, [...state.variables, logits]);
    this.#prompt = state.prompt.map((part, i) => ({
      weights: part.weights,
      run: runtime.compile(
        `${name}: prompt, part ${i + 1}`,
        ({ text, image, row, stream }: PromptTensors) => {
          const { logits_1V, ...next } = part.run({
            text_1T: text as Tensor2D,
            image_1J: (image.shape[1] as number) > 0 ? (image as Tensor2D) : undefined,
            row: row as Scalar,
            stream,
          });
          if (logits_1V) logits.writeRows(tf.reshape(row, [1]), logits_1V);
          return next;
        },
        { inOneThread: true, precision },
      ),
    }));
    this.#repeat = runtime.compile(`${name}: shared prompts`, ({ from }: { from: Tensor }) => {
      state.repeat(from as Tensor1D);
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
    const step = ({ place, last }: StepInputs): StepOutputs => {
      const last_B = (last ?? tokens.read()) as Tensor1D;
      const last_R = this.#isGuided ? tf.concat([last_B, last_B]) : last_B;
      const before = tf.sub(place, tf.scalar(1, 'int32')) as Scalar;
      const logits_RV = inRowBlocks(BLOCK, () => state.step(last_R as Tensor1D, before));
      return sampleNext(logits_RV, place);
    };
    const options = { inOneThread: true, precision, frozen: frozen ? model.variables : [] };
    this.#compileStep = (releases) => runtime.compile(`${name}: token`, step, { ...options, releases });
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
    const count = this.#model.imageLength;
    const primed = this.#check(requests);
    const codes = new Int32Array(requests.length * count);
    for (const [r, { start }] of requests.entries()) if (start) codes.set(start, r * count);
    await this.prepare(requests, signal);
    await this.#keys({ keys: this.#keysOf(requests) });
    const fedAll = this.#model.startToken !== undefined;
    for (let place = fedAll ? 0 : primed; place < count; place++) {
      signal?.throwIfAborted();
      const at = { place: intScalar(place) };
      const last = fedAll ? { last: this.#tokensAt(place - 1, codes) } : {};
      const isFirst = place === primed && !fedAll;
      const { tokens } = await (isFirst ? this.#first(at) : this.#step({ ...at, ...last }));
      if (place < primed) continue;
      for (let r = 0; r < requests.length; r++) codes[r * count + place] = tokens.data[r] as number;
      onToken?.(place + 1, codes);
    }
    return codes;
  }

  async #step(inputs: OnHost<StepInputs>): Promise<OnHost<StepOutputs>> {
    this.#next ??= await this.#openStep();
    return this.#next(inputs);
  }

  async #openStep(): Promise<Step> {
    const { loaded, variables } = this.#model;
    const releases = await this.#releases();
    await loaded?.all();
    const step = this.#compileStep(releases);
    if (!releases) return step;
    return async (inputs) => {
      const made = await step(inputs);
      // In every run: weights that were loaded again meanwhile are given back too.
      loaded?.givenBack(variables);
      return made;
    };
  }

  /** The tokens at a place of all images of the batch; at −1 the start token. */
  #tokensAt(place: number, codes: Int32Array): HostTensor {
    const { startToken = 0, imageLength } = this.#model;
    const data = Int32Array.from({ length: this.#batch }, (_, r) =>
      place < 0 ? startToken : (codes[r * imageLength + place] ?? 0),
    );
    return { dtype: 'int32', shape: [this.#batch], data };
  }

  /** The number of given image tokens. @throws RangeError for requests that do not go together */
  #check(requests: readonly SampleRequest[]): number {
    if (requests.length > this.#batch)
      throw new RangeError(`${requests.length} requests for a sampler of ${this.#batch}`);
    const { imageVocabulary } = this.#model;
    const [primed = 0, ...others] = new Set(requests.map(({ start }) => start?.length ?? 0));
    if (others.length > 0)
      throw new RangeError(
        `images of one call start with the same number of tokens, got ${primed} and ${others[0]}`,
      );
    const most = this.#model.imageLength - 1;
    if (primed > most) throw new RangeError(`an image starts with at most ${most} tokens, got ${primed}`);
    for (const { start } of requests)
      for (const code of start ?? [])
        if (code < 0 || code >= imageVocabulary)
          throw new RangeError(`an image starts with codes below ${imageVocabulary}, got ${code}`);
    return primed;
  }

  /**
   * Processes the prompts of requests into their rows, unless these hold them: `sample` does it, or finds it done. May
   * begin while weights are loaded; it ends when those that it has read are known to be right.
   */
  async prepare(requests: readonly SampleRequest[], signal?: AbortSignal): Promise<void> {
    await this.#clear();
    const prompts = this.#promptsOf(requests);
    if (prompts.some(({ row, name }) => this.#held.get(row) !== name)) {
      this.#held = new Map();
      const from = Int32Array.from({ length: this.#rows }, (_, row) => row);
      const rows = new Map<string, number>();
      for (const { row, name, text, start } of prompts) {
        signal?.throwIfAborted();
        const same = rows.get(name);
        if (same === undefined) {
          await this.#processPrompt({ text: sequence(text), image: sequence(start), row: intScalar(row) });
        }
        from[row] = same ?? row;
        rows.set(name, from[row]);
      }
      if (from.some((same, row) => same !== row))
        await this.#repeat({ from: { dtype: 'int32', shape: [from.length], data: from } });
      await this.#model.loaded?.verified();
      if (this.#isFrozen) this.#held = new Map(prompts.map(({ row, name }) => [row, name]));
    }
  }

  async #processPrompt(inputs: OnHost<Omit<PromptTensors, 'stream'>>): Promise<void> {
    let made: { readonly stream?: HostTensor } = {};
    for (const { weights, run } of this.#prompt) {
      await this.#model.loaded?.some(weights);
      made = await run({ ...inputs, ...made });
    }
  }

  /** What each row reads first; equal prompts have equal names. */
  #promptsOf(requests: readonly SampleRequest[]) {
    // Where steps read given image tokens, prompts do not.
    const startOf = ({ start }: SampleRequest): Int32Array =>
      (this.#model.startToken === undefined ? start : undefined) ?? new Int32Array();
    const captions = requests.map((request) => ({ caption: request.captionTokens, start: startOf(request) }));
    const negatives = requests.map((request) => ({
      caption: request.negative ?? [],
      start: startOf(request),
    }));
    return [captions, this.#isGuided ? negatives : []].flatMap((all, first) =>
      all.map(({ caption, start }, r) => {
        const text = this.#model.textInput(caption);
        return { row: first * this.#batch + r, name: `${text};${start}`, text, start };
      }),
    );
  }

  #keysOf(requests: readonly SampleRequest[]): HostTensor {
    const count = this.#model.imageLength;
    const keys = new Int32Array(count * this.#batch * 2);
    for (let place = 0; place < count; place++)
      for (const [r, { seed }] of requests.entries())
        keys.set(graphSeed(seed, 'image token', place), 2 * (place * this.#batch + r));
    return { dtype: 'int32', shape: [count, this.#batch, 2], data: keys };
  }
}

/** A batch of one, [1, n]. */
const sequence = (ids: Int32Array): HostTensor => ({ dtype: 'int32', shape: [1, ids.length], data: ids });
