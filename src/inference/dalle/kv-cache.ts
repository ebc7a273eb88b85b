// What the layers keep of earlier positions, in the session: a variable for each part of each layer, written in place.
// A row is an image or caption that is being decoded. Where a layer reads only some of the image's keys and values,
// those of the prefix have variables of their own.
//   R rows, H heads, N positions, d width of a head, S channels that token shift moves, n first positions
//
// A variable is a table with one line for each row, head and position, [R · H · N, d], since TensorFlow writes whole
// lines of a first axis in place.

import type { DalleModelConfig } from '../../config/dalle.ts';
import { floatScalar } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { headWidth, layerAttention } from '../../models/dalle/config.ts';
import type { DalleCache } from '../../models/dalle/model.ts';
import type { KeyValues } from '../../nn/attention.ts';
import type { LayerCache } from '../../nn/transformer.ts';
import type { DalleMemory } from './decode.ts';

/** [R, H, N, d] */
class KvTable {
  readonly variable: Variable;
  /** Its first position, in the stream. */
  readonly first: number;
  readonly #shape: readonly [number, number, number, number];

  constructor(
    runtime: Runtime,
    name: string,
    shape: readonly [number, number, number, number],
    first: number,
  ) {
    const [rows, heads, positions, width] = shape;
    this.variable = runtime.variable(name, [rows * heads * positions, width]);
    this.first = first;
    this.#shape = shape;
  }

  read(): Tensor4D {
    return this.#whole(this.variable.read());
  }

  /** A position of every row, counted in the stream; returns the whole. */
  writePosition(position: Tensor, values: Tensor4D): Tensor4D {
    const [rows, heads, positions, width] = this.#shape;
    const starts = tf.range(-this.first, rows * heads * positions - this.first, positions, 'int32');
    const lines = tf.add(starts, position);
    return this.#whole(this.variable.writeRows(lines, tf.reshape(values, [rows * heads, width])));
  }

  /** The first positions of row `row`, [1, H, n, d]. */
  writeRow(row: Scalar, values: Tensor4D): void {
    const [, heads, positions, width] = this.#shape;
    const count = values.shape[2];
    if (count === 0) return;
    const lines = Int32Array.from(
      { length: heads * count },
      (_, i) => Math.floor(i / count) * positions + (i % count),
    );
    const first = tf.mul(row, tf.scalar(heads * positions, 'int32'));
    this.variable.writeRows(
      tf.add(tf.tensor1d(lines, 'int32'), first),
      tf.reshape(values, [heads * count, width]),
    );
  }

  /** Makes each row what row `from_R` of it was. */
  repeatRows(from_R: Tensor1D): void {
    this.variable.assign(tf.reshape(tf.gather(this.read(), from_R), [...this.variable.shape]));
  }

  #whole(lines: Tensor): Tensor4D {
    return tf.reshape(lines, [...this.#shape]);
  }
}

type LayerTables = Readonly<Partial<Record<keyof LayerCache, KvTable>>>;

/** Runs `clear`, which gets the input that `DecodeCache.clear` wants, at the first call and never again. */
export function clearedOnce(
  runtime: Runtime,
  name: string,
  clear: (zero: Scalar) => void,
): () => Promise<void> {
  const run = runtime.compile(`${name}: clear`, ({ zero }: { zero: Tensor }) => {
    clear(zero as Scalar);
    return {};
  });
  let isClear = false;
  return async () => {
    if (!isClear) await run({ zero: floatScalar(0) });
    isClear = true;
  };
}

/** Its methods are for the bodies of compiled functions. */
export class KvCache {
  readonly #layers: readonly LayerTables[];
  readonly #prefixes: readonly (Readonly<Record<keyof KeyValues, KvTable>> | undefined)[];
  readonly #prefix: number;

  /**
   * @param name tells its variables from those of other caches of the runtime
   * @param prefix positions that come before those kept
   */
  constructor(
    runtime: Runtime,
    name: string,
    config: DalleModelConfig,
    { rows, prefix, positions }: Readonly<Record<'rows' | 'prefix' | 'positions', number>>,
  ) {
    const { heads, width, tokenShift } = config;
    /** Of positions from `first` up to `end`. */
    const table = (
      part: string,
      layer: number,
      first: number,
      end: number,
      parts: number,
      channels: number,
    ) => new KvTable(runtime, `${name}/${part}_${layer}`, [rows, parts, end - first, channels], first);
    const keysAndValues = (of: string, layer: number, first: number, end: number) => ({
      keys_BHNd: table(`${of}keys`, layer, first, end, heads, headWidth(config)),
      values_BHNd: table(`${of}values`, layer, first, end, heads, headWidth(config)),
    });
    const shift = (of: string, layer: number) =>
      table(`${of}_shift`, layer, prefix, prefix + positions, 1, width / 2);
    const firsts = layerAttention(config).map((kind) => (kind === 'full' ? 0 : prefix));
    this.#prefix = prefix;
    this.#prefixes = firsts.map((first, layer) =>
      first > 0 ? keysAndValues('prefix_', layer, 0, first) : undefined,
    );
    this.#layers = firsts.map((first, layer) => ({
      ...keysAndValues('', layer, first, prefix + positions),
      ...(tokenShift && {
        attentionShift_B1NS: shift('attention', layer),
        feedForwardShift_B1NS: shift('feed_forward', layer),
      }),
    }));
  }

  /**
   * Zeros everywhere, since what is not written yet must be finite.
   * @param zero an input: tables that are written in place can neither be a constant nor, computed alike, be one
   */
  clear(zero: Scalar): void {
    for (const [i, { variable }] of this.#tables().entries())
      variable.assign(tf.add(tf.zeros([...variable.shape]), tf.mul(zero, tf.scalar(i + 1))));
  }

  /** `prompt`, [1, …, n, …] each, in row `row`. */
  writePrompt(prompt: DalleCache, row: Scalar): void {
    for (const [layer, cache] of prompt.entries()) {
      for (const [part, values] of Object.entries(cache) as [keyof LayerCache, Tensor4D][]) {
        const own = this.#layers[layer]?.[part] as KvTable;
        const [before, kept] = tf.split(values, [own.first, values.shape[2] - own.first], 2) as [
          Tensor4D,
          Tensor4D,
        ];
        this.#prefixes[layer]?.[part as keyof KeyValues]?.writeRow(row, before);
        own.writeRow(row, kept);
      }
    }
  }

  /** Keeps what the layers say of position `place`, counted from the first after the prefix. */
  view(place: Scalar): DalleMemory {
    const position = tf.add(place, tf.scalar(this.#prefix, 'int32'));
    return this.#layers.map((tables, layer) => {
      const prefix = this.#prefixes[layer];
      return {
        prefix: prefix && { keys_BHNd: prefix.keys_BHNd.read(), values_BHNd: prefix.values_BHNd.read() },
        append: (part, row) => (tables[part] as KvTable).writePosition(position, row),
      };
    });
  }

  /** Makes each row what row `from_R` was. */
  repeatRows(from_R: Tensor1D): void {
    for (const table of this.#tables()) table.repeatRows(from_R);
  }

  #tables(): KvTable[] {
    return [...this.#layers, ...this.#prefixes].flatMap((tables): KvTable[] => Object.values(tables ?? {}));
  }
}
