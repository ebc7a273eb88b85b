// Replicas: several devices of one session, each with its own copy of every variable, and those of other workers'
// sessions, which make the same updates. A function says by `eachReplica` what each replica of this process does; what a
// replica computes from the inputs of all goes through collectives.ts or sums.ts. With one replica nothing of this adds
// a node.

import { sizeOf } from '../../util/shape.ts';
import { typeAttr } from '../graph/attributes.ts';
import { atOneOrigin } from '../graph/origin.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Scalar, type Tensor, tf } from '../tfjs/tf.ts';
import { currentTrace, onDevice } from '../tfjs/trace.ts';
import type { Variable } from '../tfjs/variable.ts';
import { broadcast, isFirstReplica } from './collectives.ts';
import { bucketsOf } from './sums.ts';

/** Records `body` once for each replica, on its device; inside a compiled function. */
export const eachReplica = <T>(body: (replica: number) => T): T[] =>
  currentTrace().replicas.names.map((name, replica) => onDevice(name, () => body(replica)));

/** Gives all replicas the first one's values of float32 variables; inside a compiled function. */
export function copyToReplicas(variables: readonly Variable[]): void {
  const sized = new Map(
    variables.map((variable) => [variable.name, { variable, size: sizeOf(variable.shape) }]),
  );
  const buckets = bucketsOf(sized).map((bucket) => bucket.map(([, entry]) => entry));
  const copy = (): void => {
    for (const bucket of buckets) {
      const sizes = bucket.map(({ size }) => size);
      const all = sizes.reduce((sum, size) => sum + size, 0);
      const row = broadcast([all], () =>
        tf.concat(bucket.map(({ variable }) => tf.reshape(variable.read(), [-1]))),
      );
      if (isFirstReplica()) continue;
      const parts = tf.split(row, sizes);
      for (const [i, { variable }] of bucket.entries())
        variable.assign(tf.reshape(parts[i] as Tensor, [...variable.shape]));
    }
  };
  eachReplica(() => atOneOrigin(copy));
}

/**
 * The number of variables that have other bits at some replica of this process than at its first one; inside a
 * compiled function.
 */
export function countDifferences(variables: readonly Variable[]): Scalar {
  const [first = [], ...others] = eachReplica(() =>
    atOneOrigin(() => variables.map((variable) => bits(variable.read()))),
  );
  const differ = others.flatMap((values) =>
    values.map((value, i) => tf.any(tf.notEqual(value, first[i] as Tensor))),
  );
  return (differ.length === 0 ? tf.scalar(0, 'int32') : tf.sum(tf.cast(tf.stack(differ), 'int32'))) as Scalar;
}

/** The bits of float32 elements as int32: NaN equals itself, and −0 differs from 0. */
const bits = (x: Tensor): Tensor =>
  executeOp('Bitcast', [typeAttr('T', DT.float32), typeAttr('type', DT.int32)], [x]);
