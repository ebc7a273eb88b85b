// Elementwise ops that tfjs lacks, or has as several.

import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import { type Scalar, type Tensor, tf } from '../tfjs/tf.ts';

/** x · y, and 0 where y is 0 even if x is infinite or NaN. It has no gradient. */
export const multiplyNoNaN = (x: Tensor, y: Tensor): Tensor =>
  executeOp('MulNoNan', [typeAttr('T', DT.float32)], [x, y]);

/** A float32 tensor of this shape with `value` everywhere. It has no gradient. */
export const filled = (value: Scalar, shape: readonly number[]): Tensor =>
  executeOp(
    'Fill',
    [typeAttr('T', DT.float32), typeAttr('index_type', DT.int32)],
    [tf.tensor1d([...shape], 'int32'), value],
  );
