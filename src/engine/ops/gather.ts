// Row lookup with a gradient in one op.
//   V rows of the table, D width of a row

import { gatherAlong } from '../tfjs/kernels.ts';
import type { Tensor } from '../tfjs/tf.ts';
import { noGradient, withGradient } from './gradient.ts';
import { segmentSum } from './reductions.ts';

/**
 * Looks up rows of a table of V rows, D wide.
 * @param table_VD float32
 * @param ids int32 of any shape, each in 0 … V−1
 * @returns [...ids.shape, D]
 */
export function gather(table_VD: Tensor, ids: Tensor): Tensor {
  return withGradient(
    (save, table, indices) => {
      save([indices as Tensor]);
      const rows = table_VD.shape[0] as number;
      return {
        value: gatherAlong(table as Tensor, indices as Tensor, 0),
        gradFunc: (dy, [saved]) => [segmentSum(dy, saved as Tensor, rows), noGradient(saved as Tensor)],
      };
    },
    table_VD,
    ids,
  );
}
