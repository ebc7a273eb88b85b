// The KV cache in the session: a variable for each part of each layer, written in place. A row is one image or caption.
// Layers that read only part of the image's keys and values have separate variables for the prefix.
//   B batch, R rows of the cache, A heads, N positions, d width of a head, S channels of token shift, L first positions of a row

import type { DalleModelConfig } from '../../config/dalle-model.ts';
import type { Precision } from '../../engine/graph/precision.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { headWidth, layerAttention } from '../../models/dalle/config.ts';
import type { DalleCache } from '../../models/dalle/model.ts';
import type { KeyValues } from '../../nn/attention.ts';
import type { LayerCache } from '../../nn/transformer.ts';
import { KvTable } from '../sampler/kv-table.ts';
import type { DalleCacheView } from './decode.ts';

type LayerTables = Readonly<Partial<Record<keyof LayerCache, KvTable>>>;

/** Methods are for the bodies of compiled functions. */
export class KvCache {
  readonly #layers: readonly LayerTables[];
  readonly #prefixes: readonly (Readonly<Record<keyof KeyValues, KvTable>> | undefined)[];
  readonly #prefix: number;

  /**
   * @param name prefix of its variables, unique in the runtime
   * @param prefix positions before the cached ones
   * @param type of the cached values
   */
  constructor(
    runtime: Runtime,
    name: string,
    config: DalleModelConfig,
    { rows, prefix, positions }: Readonly<Record<'rows' | 'prefix' | 'positions', number>>,
    type: Precision = 'float32',
  ) {
    const { heads, width, tokenShift } = config;
    /** The table of positions `first` … `end` − 1. */
    const table = (
      part: string,
      layer: number,
      first: number,
      end: number,
      parts: number,
      channels: number,
    ) => new KvTable(runtime, `${name}/${part}_${layer}`, [rows, parts, end - first, channels], first, type);
    const keysAndValues = (of: string, layer: number, first: number, end: number) => ({
      keys_BANd: table(`${of}keys`, layer, first, end, heads, headWidth(config)),
      values_BANd: table(`${of}values`, layer, first, end, heads, headWidth(config)),
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

  /** To be cleared before the first use: see `clearedOnce`. */
  get variables(): Variable[] {
    return this.#tables().map(({ variable }) => variable);
  }

  /** Writes the cache of a prompt in the layers from `first` on, parts of [1, …, L, …], into row `row`. */
  writePrompt(prompt: DalleCache, row: Scalar, first = 0): void {
    for (const [i, cache] of prompt.entries()) {
      const layer = first + i;
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

  /** The caches of all layers for the position `place`, counted from the first one after the prefix. */
  view(place: Scalar): DalleCacheView {
    const position = tf.add(place, tf.scalar(this.#prefix, 'int32'));
    return this.#layers.map((tables, layer) => {
      const prefix = this.#prefixes[layer];
      return {
        prefix: prefix && { keys_BANd: prefix.keys_BANd.read(), values_BANd: prefix.values_BANd.read() },
        append: (part, row) => (tables[part] as KvTable).writePosition(position, row),
      };
    });
  }

  /** Replaces each row r by row from_R[r]. */
  repeatRows(from_R: Tensor1D): void {
    for (const table of this.#tables()) table.repeatRows(from_R);
  }

  #tables(): KvTable[] {
    return [...this.#layers, ...this.#prefixes].flatMap((tables): KvTable[] => Object.values(tables ?? {}));
  }
}
