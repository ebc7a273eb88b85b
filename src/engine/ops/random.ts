// Random numbers inside a graph: stateless, keyed by two integers, so that a run is reproducible and resumes bit for
// bit. The host makes a key for each step (`graphSeed`, util/random.ts); `foldIn` derives one key for each purpose.

import { graphSeed } from '../../util/random.ts';
import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Tensor, type Tensor1D, tf } from '../tfjs/tf.ts';

/** A separate key for a purpose. @param key int32[2] @returns int32[2] */
export function foldIn(key: Tensor1D, purpose: string): Tensor1D {
  return key.mul(tf.scalar(1664525, 'int32')).add(tf.tensor1d(graphSeed(purpose), 'int32'));
}

function stateless(op: string, key: Tensor1D, shape: readonly number[]): Tensor {
  const attributes = [typeAttr('dtype', DT.float32), typeAttr('T', DT.int32), typeAttr('Tseed', DT.int32)];
  return executeOp(op, attributes, [tf.tensor1d([...shape], 'int32'), key]);
}

/** Uniform over [0, 1). */
export const randomUniform = (key: Tensor1D, shape: readonly number[]): Tensor =>
  stateless('StatelessRandomUniform', key, shape);

/** Standard normal. */
export const randomNormal = (key: Tensor1D, shape: readonly number[]): Tensor =>
  stateless('StatelessRandomNormal', key, shape);

/** Standard Gumbel: −ln(−ln u). u is shifted by half the spacing of the uniform numbers, so that it is never 0. */
export function randomGumbel(key: Tensor1D, shape: readonly number[]): Tensor {
  return randomUniform(key, shape)
    .add(2 ** -24)
    .log()
    .neg()
    .log()
    .neg();
}
