// Whether this processor's products keep packed copies of frozen matrices, so that the matrices can be given back
// (`releases`). oneDNN decides by shape; where it reads a matrix as it is, there is no copy.

import type { Precision } from '../graph/precision.ts';
import { PageTensor } from '../native/page-tensor.ts';
import type { HostTensor } from '../native/tensor.ts';
import { affine } from '../ops/linear-algebra.ts';
import type { Tensor, Tensor2D } from '../tfjs/tf.ts';
import type { Variable } from '../tfjs/variable.ts';
import { Runtime } from './runtime.ts';

/**
 * Multiplies by a released matrix of each shape twice, in a runtime of which nothing stays.
 * @param like the runtime of the matrices: oneDNN decides by the number of threads too
 * @param rows of the products
 */
export async function packsOnce(
  like: Runtime,
  matrices: readonly Variable[],
  rows: number,
  precision: Precision,
): Promise<boolean> {
  const kinds = new Map(
    matrices
      .filter(({ shape }) => shape.length === 2)
      .map((matrix) => [`${matrix.shape} ${matrix.dtype}`, matrix]),
  );
  const runtime = new Runtime({ intraOpThreads: like.intraOpThreads });
  try {
    if (!runtime.packsWeights(precision)) return false;
    for (const [kind, { shape, dtype }] of kinds) {
      const [inputs, outputs] = shape as [number, number];
      const weight = runtime.variable(kind, shape, dtype);
      const set = runtime.compile(`${kind}: set`, ({ values }: { values: Tensor }) => {
        weight.assign(values);
        return {};
      });
      await set({ values: firstRow([inputs, outputs]) });
      const multiply = runtime.compile(
        kind,
        ({ x }: { x: Tensor }) => ({ y: affine(x as Tensor2D, weight.read()) }),
        { precision, inOneThread: true, frozen: [weight], releases: true },
      );
      const x = pattern([rows, inputs]);
      const [first, second] = [await multiply({ x }), await multiply({ x })];
      if (second.y.data.some((value, i) => value !== first.y.data[i])) return false;
    }
    return true;
  } finally {
    await runtime.close();
  }
}

/** Numbers from 1 to 7 of no regular order. */
const numberAt = (i: number): number => 1 + (((i * 2_654_435_761) >>> 7) % 7);

function pattern([rows, columns]: readonly [number, number]): HostTensor {
  const data = Float32Array.from({ length: rows * columns }, (_, i) => numberAt(i));
  return { dtype: 'float32', shape: [rows, columns], data };
}

/** A matrix of zeros below its first row: a large one is neither filled nor, in separate pages, in memory. */
function firstRow(shape: readonly [number, number]): HostTensor {
  const [rows, columns] = shape;
  const tensor = PageTensor.allocate('float32', shape) ?? {
    ...{ dtype: 'float32', shape },
    data: new Float32Array(rows * columns),
  };
  for (let i = 0; i < columns; i++) tensor.data[i] = numberAt(i);
  return tensor as HostTensor;
}
