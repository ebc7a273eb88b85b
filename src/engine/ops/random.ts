// Randomness inside a graph: stateless, keyed by two integers, so that a run is reproducible and resumable bit
// for bit. The host makes a key for each step (util/random.ts, graphSeed); purposes fold into it here.

import { graphSeed } from '../../util/random.ts';
import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Tensor, type Tensor1D, tf } from '../tfjs/tf.ts';

/** A key of its own for each purpose: int32[2] from int32[2]. */
export function foldIn(key: Tensor1D, purpose: string): Tensor1D {
  return key.mul(tf.scalar(1664525, 'int32')).add(tf.tensor1d(graphSeed(purpose), 'int32'));
}

function draw(op: string, key: Tensor1D, shape: readonly number[]): Tensor {
  const attributes = [typeAttr('dtype', DT.float32), typeAttr('T', DT.int32), typeAttr('Tseed', DT.int32)];
  return executeOp(op, attributes, [tf.tensor1d([...shape], 'int32'), key]);
}

/** Uniform over [0, 1). */
export const randomUniform = (key: Tensor1D, shape: readonly number[]): Tensor =>
  draw('StatelessRandomUniform', key, shape);

/** Standard normal. */
export const randomNormal = (key: Tensor1D, shape: readonly number[]): Tensor =>
  draw('StatelessRandomNormal', key, shape);

/** Standard Gumbel: −ln(−ln u). Half a step of the uniform's grid keeps u off zero. */
export function randomGumbel(key: Tensor1D, shape: readonly number[]): Tensor {
  return randomUniform(key, shape)
    .add(2 ** -24)
    .log()
    .neg()
    .log()
    .neg();
}
