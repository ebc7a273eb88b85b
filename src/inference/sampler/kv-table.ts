// A table of a KV cache in the session: a variable that is written in place.
//   R rows of the cache, A heads, N positions, d width of a head, L first positions of a row
//
// A variable is a table with one line for each row, head and position, [R · A · N, d], because TensorFlow writes whole
// lines of the first axis in place.

import { PageTensor } from '../../engine/native/page-tensor.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable, VariableType } from '../../engine/tfjs/variable.ts';
import { HOST_ARRAYS } from '../../util/element-types.ts';
import { sizeOf } from '../../util/shape.ts';

/** [R, A, N, d] */
export class KvTable {
  readonly variable: Variable;
  /** First position, counted in the stream. */
  readonly first: number;
  readonly #shape: readonly [number, number, number, number];

  constructor(
    runtime: Runtime,
    name: string,
    shape: readonly [number, number, number, number],
    first: number,
    type: VariableType = 'float32',
  ) {
    const [rows, heads, positions, width] = shape;
    this.variable = runtime.variable(name, [rows * heads * positions, width], type);
    this.first = first;
    this.#shape = shape;
  }

  read(): Tensor4D {
    return this.#whole(this.variable.read());
  }

  /** Writes one position of every row, counted in the stream; returns the whole table. */
  writePosition(position: Tensor, values: Tensor4D): Tensor4D {
    const [rows, heads, positions, width] = this.#shape;
    const starts = tf.range(-this.first, rows * heads * positions - this.first, positions, 'int32');
    const lines = tf.add(starts, position);
    return this.#whole(this.variable.writeRows(lines, tf.reshape(values, [rows * heads, width])));
  }

  /** Writes the first positions of row `row`, [1, A, L, d]. */
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

  /** Replaces each row r by row from_R[r]. */
  repeatRows(from_R: Tensor1D): void {
    this.variable.assign(tf.reshape(tf.gather(this.read(), from_R), [...this.variable.shape]));
  }

  #whole(lines: Tensor): Tensor4D {
    return tf.reshape(lines, [...this.#shape]);
  }
}

/**
 * A function that fills variables with zeros at its first call only: positions of a cache that are not written yet must
 * be finite. Large ones get memory where they are written, or read.
 */
export function clearedOnce(
  runtime: Runtime,
  name: string,
  variables: readonly Variable[],
): () => Promise<void> {
  // Inputs, as tables that are written in place may not be constants.
  const run = runtime.compile(`${name}: clear`, (zeros: Record<string, Tensor>) => {
    for (const variable of variables) variable.assign(zeros[variable.name] as Tensor);
    return {};
  });
  let isClear = false;
  return async () => {
    if (!isClear)
      await run(Object.fromEntries(variables.map((variable) => [variable.name, zeros(variable)])));
    isClear = true;
  };
}

const zeros = ({ dtype, shape }: Variable): HostTensor =>
  PageTensor.allocate(dtype, shape) ?? { dtype, shape, data: new HOST_ARRAYS[dtype](sizeOf(shape)) };
