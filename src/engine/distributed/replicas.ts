// Replicas: several devices of one session, each with its own copy of every variable, which make the same updates.
// A function says by `eachReplica` what each of them does; what a replica computes from the inputs of all goes through
// collectives.ts or sums.ts. With one replica nothing of this adds a node.

import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Scalar, type Tensor, tf } from '../tfjs/tf.ts';
import { currentTrace, onDevice } from '../tfjs/trace.ts';
import type { Variable } from '../tfjs/variable.ts';

/** Records `body` once for each replica, on its device; inside a compiled function. */
export const eachReplica = <T>(body: (replica: number) => T): T[] =>
  currentTrace().replicas.names.map((name, replica) => onDevice(name, () => body(replica)));

/** Gives all replicas the first one's values of variables; inside a compiled function. */
export function copyToReplicas(variables: readonly Variable[]): void {
  let first: readonly Tensor[] = [];
  eachReplica((replica) => {
    if (replica === 0) first = variables.map((variable) => variable.read());
    else for (const [i, variable] of variables.entries()) variable.assign(first[i] as Tensor);
  });
}

/** The number of variables that have other bits at some replica than at the first one; inside a compiled function. */
export function countDifferences(variables: readonly Variable[]): Scalar {
  const [first = [], ...others] = eachReplica(() => variables.map((variable) => bits(variable.read())));
  const differ = others.flatMap((values) =>
    values.map((value, i) => tf.any(tf.notEqual(value, first[i] as Tensor))),
  );
  return (differ.length === 0 ? tf.scalar(0, 'int32') : tf.sum(tf.cast(tf.stack(differ), 'int32'))) as Scalar;
}

/** The bits of float32 elements as int32: NaN equals itself, and −0 differs from 0. */
const bits = (x: Tensor): Tensor =>
  executeOp('Bitcast', [typeAttr('T', DT.float32), typeAttr('type', DT.int32)], [x]);
