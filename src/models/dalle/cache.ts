// What the layers keep of earlier positions, in the session: a variable for each part of each layer. A row is a
// picture or caption that is being decoded.
//   R rows, H heads, N positions, d width of a head, S channels that token shift moves, n first positions

import type { DalleModelConfig } from '../../config/dalle.ts';
import type { Runtime } from '../../engine/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tf.ts';
import type { Variable } from '../../engine/variable.ts';
import type { LayerCache } from '../../nn/transformer.ts';
import { headWidth } from './config.ts';
import type { DalleCache } from './model.ts';

type CachePart = keyof LayerCache;
type CacheVariables = Readonly<Partial<Record<CachePart, Variable>>>;

/** Its methods are for the bodies of compiled functions. */
export class DecodeCache {
  readonly #layers: readonly CacheVariables[];

  /** @param name tells its variables from those of other caches of the runtime */
  constructor(runtime: Runtime, name: string, config: DalleModelConfig, rows: number, positions: number) {
    const { layers, heads, width, tokenShift } = config;
    const keyShape = [rows, heads, positions, headWidth(config)];
    const shiftShape = [rows, 1, positions, width / 2];
    const shapes: [CachePart, number[]][] = [
      ['keys_BHNd', keyShape],
      ['values_BHNd', keyShape],
    ];
    if (tokenShift) shapes.push(['attentionShift_B1NS', shiftShape], ['feedForwardShift_B1NS', shiftShape]);
    this.#layers = Array.from(
      { length: layers },
      (_, layer): CacheVariables =>
        Object.fromEntries(
          shapes.map(([part, shape]) => [part, runtime.variable(`${name}/${part}_${layer}`, shape)]),
        ),
    );
  }

  /** Zeros everywhere: what is not written yet must be finite. */
  clear(): void {
    for (const [variable] of this.#parts()) variable.assign(tf.zeros([...variable.shape]));
  }

  read(): DalleCache {
    return this.#layers.map(
      (variables) =>
        Object.fromEntries(
          Object.entries(variables).map(([part, variable]) => [part, variable.read()]),
        ) as unknown as LayerCache,
    );
  }

  /** `prompt`, [1, …, n, …] each, as the first positions of row `row`. */
  writePrompt(prompt: DalleCache, row: Scalar): void {
    for (const [variable, value] of this.#parts(prompt)) {
      const [, ...lengths] = value.shape;
      variable.writeSlice(
        tf.concat([at(row), ints(0, 0, 0)]),
        tf.concat([after(row), ints(...lengths)]),
        value,
        value,
      );
    }
  }

  /** `rows`, [R, …, 1, …] each, as position `position`. `last` is the end of what was made from the old values. */
  writePosition(rows: DalleCache, position: Scalar, last: Tensor): void {
    for (const [variable, value] of this.#parts(rows)) {
      const [count, heads, , width] = value.shape as Tensor4D['shape'];
      const begin = tf.concat([ints(0, 0), at(position), ints(0)]);
      const end = tf.concat([ints(count, heads), after(position), ints(width)]);
      variable.writeSlice(begin, end, value, last);
    }
  }

  /** Makes each row what row `from_R` of it was. */
  spread(from_R: Tensor1D): void {
    for (const [variable] of this.#parts()) variable.assign(tf.gather(variable.read(), from_R));
  }

  /** Every variable, with its part of `cache` where given. */
  #parts(cache?: DalleCache): [Variable, Tensor][] {
    return this.#layers.flatMap((variables, layer) =>
      Object.entries(variables).map(([part, variable]): [Variable, Tensor] => [
        variable,
        cache?.[layer]?.[part as CachePart] as Tensor,
      ]),
    );
  }
}

const ints = (...values: number[]): Tensor1D => tf.tensor1d(values, 'int32');
const at = (index: Scalar): Tensor1D => tf.reshape(index, [1]) as Tensor1D;
const after = (index: Scalar): Tensor1D => tf.add(at(index), ints(1));
