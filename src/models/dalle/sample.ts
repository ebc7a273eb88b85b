// Sampling image tokens for captions, with keys and values cached in the session: the prompt is processed once,
// then one call a token. With guidance each picture has a second row, whose caption is empty.
//   R rows (pictures, or twice as many with guidance), B pictures, T text positions, I image tokens, V vocabulary

import type { DalleModelConfig } from '../../config/dalle.ts';
import { randomGumbel } from '../../engine/random.ts';
import type { Runtime } from '../../engine/runtime.ts';
import type { HostTensor } from '../../engine/tensor.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../engine/tf.ts';
import type { Variable } from '../../engine/variable.ts';
import type { LayerCache } from '../../nn/transformer.ts';
import type { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';
import { headWidth, imageLength, padCaption, prefixLength, streamLength } from './config.ts';
import { decodeStep, prefill } from './decode.ts';
import { filterLogits } from './filter.ts';
import type { dalleSpec } from './model.ts';

export interface SampleSettings {
  /** Divides the logits: below 1 likelier, above 1 more varied pictures. */
  readonly temperature: number;
  /** Most likely tokens kept; all when undefined. */
  readonly topK?: number | undefined;
  /** Probability mass kept; all when undefined. */
  readonly topP?: number | undefined;
  /** Weight of the caption against no caption; 1 is none. The model must have seen empty captions. */
  readonly guidance: number;
}

export interface SampleRequest {
  /** The caption's tokens, at most textLength. */
  readonly caption: readonly number[];
  /** With the settings, determines the picture. */
  readonly seed: number;
}

interface Shape {
  readonly batch: number;
  readonly guided: boolean;
  readonly topK: boolean;
  readonly topP: boolean;
}

/** Draws pictures `batch` at a time. */
export class Sampler {
  readonly #config: DalleModelConfig;
  readonly #shape: Shape;
  readonly #settings: SampleSettings;
  readonly #prefill;
  readonly #step;

  /** @param name tells its variables from those of other samplers of the runtime */
  constructor(
    runtime: Runtime,
    name: string,
    config: DalleModelConfig,
    weights: Weights<ReturnType<typeof dalleSpec>>,
    batch: number,
    settings: SampleSettings,
  ) {
    const shape: Shape = {
      batch,
      guided: settings.guidance !== 1,
      topK: settings.topK !== undefined,
      topP: settings.topP !== undefined,
    };
    this.#config = config;
    this.#shape = shape;
    this.#settings = settings;
    const rows = shape.guided ? 2 * batch : batch;
    const state = declareState(runtime, name, config, rows, batch);
    const length = streamLength(config);

    this.#prefill = runtime.compile(`${name}: prompt`, ({ text, ...draw }: DrawInputs & { text: Tensor }) => {
      const { logits_BV: logits_RV, cache } = prefill(weights.read(), text as Tensor2D, config);
      const missing = length - prefixLength(config);
      state.caches.forEach((variables, layer) => {
        const rows = cache[layer] as LayerCache;
        for (const part of partsOf(rows)) variables[part]?.assign(padRows(rows[part] as Tensor4D, missing));
      });
      const tokens = drawTokens(logits_RV, shape, draw);
      state.tokens.assign(tokens);
      return { tokens };
    });

    this.#step = runtime.compile(
      `${name}: token`,
      ({ position, ...draw }: DrawInputs & { position: Tensor }) => {
        const cache = state.caches.map(
          (variables) =>
            Object.fromEntries(
              partsOf(variables).map((part) => [part, variables[part]?.read()]),
            ) as unknown as LayerCache,
        );
        const last_B = state.tokens.read() as Tensor1D;
        const last_R = shape.guided ? tf.concat([last_B, last_B]) : last_B;
        const { logits_BV: logits_RV, rows: written } = decodeStep(
          weights.read(),
          cache,
          last_R,
          position as Scalar,
          config,
        );
        state.caches.forEach((variables, layer) => {
          const row = written[layer] as LayerCache;
          for (const part of partsOf(row)) {
            const { begin, end } = cachePlace(position as Scalar, row[part] as Tensor4D);
            variables[part]?.writeSlice(begin, end, row[part] as Tensor4D, logits_RV);
          }
        });
        const tokens = drawTokens(logits_RV, shape, draw);
        state.tokens.assign(tokens);
        return { tokens };
      },
    );
  }

  /**
   * Image tokens for at most `batch` requests, [requests × I], drawn from the model's distribution.
   * @param onToken told after each position how many tokens of every picture there are
   * @param signal ends the drawing early by an AbortError
   */
  async sample(
    requests: readonly SampleRequest[],
    onToken?: (tokens: number) => void,
    signal?: AbortSignal,
  ): Promise<Int32Array> {
    const { batch } = this.#shape;
    if (requests.length > batch)
      throw new RangeError(`${requests.length} requests for a sampler of ${batch}`);
    const padded = Array.from({ length: batch }, (_, i) => requests[i] ?? (requests[0] as SampleRequest));
    const count = imageLength(this.#config);
    const result = new Int32Array(requests.length * count);
    for (let i = 0; i < count; i++) {
      signal?.throwIfAborted();
      const draw = this.#drawInputs(padded, i);
      const { tokens } =
        i === 0
          ? await this.#prefill({ text: this.#captions(padded), ...draw })
          : await this.#step({ position: integer(this.#config.textLength + i), ...draw });
      for (let r = 0; r < requests.length; r++) result[r * count + i] = tokens.data[r] as number;
      onToken?.(i + 1);
    }
    return result;
  }

  #captions(requests: readonly SampleRequest[]): HostTensor {
    const captions = requests.map(({ caption }) => caption);
    const rows = this.#shape.guided ? [...captions, ...captions.map(() => [])] : captions;
    const text = new Int32Array(rows.length * this.#config.textLength);
    for (const [r, row] of rows.entries())
      text.set(padCaption(row, this.#config), r * this.#config.textLength);
    return { dtype: 'int32', shape: [rows.length, this.#config.textLength], data: text };
  }

  #drawInputs(requests: readonly SampleRequest[], position: number) {
    const { temperature, topK = 0, topP = 0, guidance } = this.#settings;
    const keys = new Int32Array(2 * requests.length);
    for (const [r, { seed }] of requests.entries()) keys.set(graphSeed(seed, 'image token', position), 2 * r);
    return {
      keys: { dtype: 'int32', shape: [requests.length, 2], data: keys } as HostTensor,
      temperature: number(temperature),
      topK: integer(topK),
      topP: number(topP),
      guidance: number(guidance),
    };
  }
}

type DrawInputs = Record<'keys' | 'temperature' | 'topK' | 'topP' | 'guidance', Tensor>;

const number = (value: number): HostTensor => ({ dtype: 'float32', shape: [], data: Float32Array.of(value) });
const integer = (value: number): HostTensor => ({ dtype: 'int32', shape: [], data: Int32Array.of(value) });

type CachePart = keyof LayerCache;
type CacheVariables = Readonly<Partial<Record<CachePart, Variable>>>;
const partsOf = (cache: LayerCache | CacheVariables): CachePart[] => Object.keys(cache) as CachePart[];

interface State {
  readonly caches: readonly CacheVariables[];
  readonly tokens: Variable;
}

function declareState(
  runtime: Runtime,
  name: string,
  config: DalleModelConfig,
  rows: number,
  batch: number,
): State {
  const { layers, heads, width, tokenShift } = config;
  const length = streamLength(config);
  const keyShape = [rows, heads, length, headWidth(config)];
  const shiftShape = [rows, 1, length, width / 2];
  const parts: [CachePart, number[]][] = [
    ['keys_BHNd', keyShape],
    ['values_BHNd', keyShape],
  ];
  if (tokenShift) parts.push(['attentionShift_B1NS', shiftShape], ['feedForwardShift_B1NS', shiftShape]);
  const caches = Array.from(
    { length: layers },
    (_, layer): CacheVariables =>
      Object.fromEntries(
        parts.map(([part, shape]) => [part, runtime.variable(`${name}/${part}_${layer}`, shape)]),
      ),
  );
  return { caches, tokens: runtime.variable(`${name}/tokens`, [batch], 'int32') };
}

/** Zeros after the rows of [R, H, N, d]. */
const padRows = (x: Tensor4D, rows: number): Tensor4D =>
  tf.pad4d(x, [
    [0, 0],
    [0, 0],
    [0, rows],
    [0, 0],
  ]);

/** Begin and end of position `position` in the part of a cache that the row [R, H, 1, d] is for. */
function cachePlace(position: Scalar, row: Tensor4D): { begin: Tensor1D; end: Tensor1D } {
  const [rows, heads, , width] = row.shape;
  const at = tf.reshape(position, [1]) as Tensor1D;
  const ints = (...values: number[]) => tf.tensor1d(values, 'int32');
  return {
    begin: tf.concat([ints(0, 0), at, ints(0)]),
    end: tf.concat([ints(rows, heads), tf.add(at, ints(1)), ints(width)]),
  };
}

/** One token for each picture, by the Gumbel-max trick; each picture has a key of its own. */
function drawTokens(
  logits_RV: Tensor2D,
  shape: Shape,
  { keys, temperature, topK, topP, guidance }: DrawInputs,
): Tensor1D {
  const { batch } = shape;
  let logits_BV = logits_RV;
  if (shape.guided) {
    const [captioned_BV, empty_BV] = tf.split(logits_RV, 2) as [Tensor2D, Tensor2D];
    logits_BV = tf.add(empty_BV, tf.mul(tf.sub(captioned_BV, empty_BV), guidance));
  }
  logits_BV = tf.div(logits_BV, temperature);
  logits_BV = filterLogits(
    logits_BV,
    shape.topK ? (topK as Scalar) : undefined,
    shape.topP ? (topP as Scalar) : undefined,
  );
  const vocabulary = logits_BV.shape[1];
  const noise_BV = tf.stack(
    Array.from({ length: batch }, (_, b) =>
      randomGumbel(tf.reshape(tf.slice(keys, [b, 0], [1, 2]), [2]), [vocabulary]),
    ),
  );
  return tf.argMax(tf.add(logits_BV, noise_BV), -1) as Tensor1D;
}
