// Elementwise ops that tfjs lacks.

import { typeAttr } from '../graph/attributes.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import type { Tensor } from '../tfjs/tf.ts';

/** x · y, and 0 where y is 0 even if x is infinite or NaN. It has no gradient. */
export const multiplyNoNaN = (x: Tensor, y: Tensor): Tensor =>
  executeOp('MulNoNan', [typeAttr('T', DT.float32)], [x, y]);
