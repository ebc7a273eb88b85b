// Decoding an image of DALL·E mini token by token, with the keys and values of the text and of earlier tokens in the
// session.
//   B batch, R rows of the cache, T text positions, K cached positions, D width, A heads, d width of a head, V vocabulary

import type { DalleMiniConfig } from '../../config/dalle-mini.ts';
import type { Precision } from '../../engine/graph/precision.ts';
import { gather } from '../../engine/ops/gather.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { imageLength } from '../../models/dalle-mini/config.ts';
import {
  type AttentionParameters,
  endOfAttention,
  glu,
  type KeyValues,
} from '../../models/dalle-mini/layers.ts';
import {
  type DalleMiniSpec,
  encodeText,
  imageLogits,
  layersOf,
  paddingMask,
  textKeyValues,
} from '../../models/dalle-mini/model.ts';
import { additiveMask } from '../../nn/attention-mask.ts';
import { layerNorm } from '../../nn/layer-norm.ts';
import { linear } from '../../nn/linear.ts';
import type { Weights } from '../../nn/weights.ts';
import { padToMultipleOf16 } from '../padding.ts';
import type { PromptInputs, PromptPart, TokenRows } from '../sampler/generator.ts';
import { KvTable } from '../sampler/kv-table.ts';

type Tables = Readonly<Record<keyof KeyValues, KvTable>>;

/** Weights of the text's pass. */
const PROMPT_WEIGHTS = /^encoder\.|^decoder\..*\.cross_attention\.(key|value)\./;

export interface DalleMiniRowsOptions {
  readonly config: DalleMiniConfig;
  readonly weights: Weights<DalleMiniSpec>;
  readonly rows: number;
  readonly precision: Precision;
}

/** The rows of a sampler. */
export class DalleMiniRows implements TokenRows {
  readonly #config: DalleMiniConfig;
  readonly #weights: Weights<DalleMiniSpec>;
  readonly #positions: number;
  /** Keys and values of each layer: of the start token and the image tokens, and of the text. */
  readonly #own: readonly Tables[];
  readonly #text: readonly Tables[];
  /** See `paddingMask`. */
  readonly #mask: KvTable;

  constructor(runtime: Runtime, name: string, { config, weights, rows, precision }: DalleMiniRowsOptions) {
    const { decoderHeads: heads, decoderLayers, width, textLength } = config;
    this.#config = config;
    this.#weights = weights;
    this.#positions = padToMultipleOf16(imageLength(config));
    const table = (part: string, positions: number): KvTable =>
      new KvTable(runtime, `${name}/${part}`, [rows, heads, positions, width / heads], 0, precision);
    const tables = (part: string, positions: number): Tables[] =>
      Array.from({ length: decoderLayers }, (_, layer) => ({
        keys_BAKd: table(`${part}keys_${layer}`, positions),
        values_BAKd: table(`${part}values_${layer}`, positions),
      }));
    this.#own = tables('', this.#positions);
    // Positions after the text are masked as padding is: their sum has to round every row alike.
    const textPositions = padToMultipleOf16(textLength);
    this.#text = tables('text_', textPositions);
    this.#mask = new KvTable(runtime, `${name}/text_mask`, [rows, 1, 1, textPositions], 0);
  }

  get variables(): Variable[] {
    return this.#tables().map(({ variable }) => variable);
  }

  repeat(from_R: Tensor1D): void {
    for (const table of this.#tables()) table.repeatRows(from_R);
  }

  /** Reads the text alone: see `TokenModel.startToken`. */
  get prompt(): readonly [PromptPart] {
    const used = [...this.#weights.entries].filter(([name]) => PROMPT_WEIGHTS.test(name));
    const names = new Set(used.map(([name]) => name));
    return [
      { weights: used.map(([, { variable }]) => variable), run: (inputs) => this.#prompt(inputs, names) },
    ];
  }

  #prompt({ text_1T, row }: PromptInputs, names: ReadonlySet<string>): Record<never, Tensor> {
    const config = this.#config;
    const { encoder, decoder } = this.#weights.read(names);
    const missing = padToMultipleOf16(config.textLength) - config.textLength;
    const padded_1T = tf.pad(
      text_1T,
      [
        [0, 0],
        [0, missing],
      ],
      config.textPadding,
    );
    const text = textKeyValues(decoder, encodeText(encoder, text_1T, config), config);
    this.#mask.writeRow(row, paddingMask(padded_1T, config));
    for (const [layer, { keys_BAKd, values_BAKd }] of text.entries()) {
      const own = this.#text[layer] as Tables;
      own.keys_BAKd.writeRow(row, keys_BAKd);
      own.values_BAKd.writeRow(row, values_BAKd);
    }
    return {};
  }

  step(token_R: Tensor1D, place: Scalar): Tensor2D {
    const config = this.#config;
    const p = this.#weights.read().decoder;
    const position = tf.add(place, tf.scalar(1, 'int32'));
    const cached = this.#positions;
    const mask_1K = rowAt(
      additiveMask([cached], (query, key) => key <= query),
      position,
    );
    const textMask_R11T = this.#mask.read();
    let x_RD = layerNorm(
      p.embedding_norm,
      tf.add(gather(p.embedding, token_R), rowAt(p.position, position)),
    ) as Tensor2D;
    for (const [i, layer] of layersOf(p.layers).entries()) {
      const input = layerNorm(layer.self_attention.norm, x_RD) as Tensor2D;
      const own = this.#append(i, layer.self_attention, input, position);
      x_RD = tf.add(x_RD, attentionStep(layer.self_attention, input, own, mask_1K));
      const query = layerNorm(layer.cross_attention.norm, x_RD) as Tensor2D;
      x_RD = tf.add(x_RD, attentionStep(layer.cross_attention, query, this.#textOf(i), textMask_R11T));
      x_RD = tf.add(x_RD, glu(layer.glu, x_RD));
    }
    return imageLogits(p, layerNorm(p.norm, x_RD), config) as Tensor2D;
  }

  #textOf(layer: number): KeyValues {
    const { keys_BAKd, values_BAKd } = this.#text[layer] as Tables;
    return { keys_BAKd: keys_BAKd.read(), values_BAKd: values_BAKd.read() };
  }

  /** Caches the keys and values of the position; returns all that are cached of the layer. */
  #append(layer: number, p: AttentionParameters, input: Tensor2D, position: Tensor): KeyValues {
    const heads = this.#config.decoderHeads;
    const { keys_BAKd, values_BAKd } = this.#own[layer] as Tables;
    return {
      keys_BAKd: keys_BAKd.writePosition(position, headsOf(linear(p.key, input), heads)),
      values_BAKd: values_BAKd.writePosition(position, headsOf(linear(p.value, input), heads)),
    };
  }

  #tables(): KvTable[] {
    return [...this.#own.flatMap(Object.values), ...this.#text.flatMap(Object.values), this.#mask];
  }
}

/** The heads of one position: [R, D] → [R, A, 1, d]. */
function headsOf(x_RD: Tensor, heads: number): Tensor4D {
  const [rows, width] = x_RD.shape as [number, number];
  return tf.reshape(x_RD, [rows, heads, 1, width / heads]);
}

/**
 * Attention of one position, with ops that round a row independently of the other rows: K is a multiple of 16.
 * @param mask broadcast to [R, A, 1, K]
 */
function attentionStep(
  p: AttentionParameters,
  input_RD: Tensor2D,
  { keys_BAKd, values_BAKd }: KeyValues,
  mask: Tensor,
): Tensor2D {
  const heads = keys_BAKd.shape[1];
  const queries = headsOf(linear(p.query, input_RD), heads);
  const scaled = tf.mul(queries, queries.shape[3] ** -0.5);
  const scores: Tensor = tf.add(tf.matMul(scaled, keys_BAKd, false, true), mask);
  const weights: Tensor = tf.exp(tf.sub(scores, tf.max(scores, -1, true)));
  const mean = tf.div(tf.matMul(weights, values_BAKd), tf.sum(weights, -1, true));
  return endOfAttention(p, tf.reshape(mean, input_RD.shape)) as Tensor2D;
}

/** Row `index` of a table, [1, …]. @param index int32 scalar */
const rowAt = (table: Tensor, index: Tensor): Tensor2D =>
  tf.gather(table, tf.reshape(index, [1]) as Tensor1D) as Tensor2D;
