// MatMul with frozen weights. oneDNN packs the weight matrix on every call, which for a few rows takes longer than the
// product, unless the op is marked as having a constant filter. That flag is set here on a variable's value; a Const
// node would cost several copies of the matrix while TensorFlow prepares the graph.
//
//   M rows, C channels in, O channels out
//
// The result of a row is bit for bit the same for any number of rows: measured for every shape tried (AVX2;
// docs/LOG.md) and checked by test/engine/packed-weights.test.ts.

import { boolAttr, intAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { hasOp } from '../graph/op-definitions.ts';
import type { Precision } from '../graph/precision.ts';
import type { CApi } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { oneDnnMultiplies } from '../native/processor.ts';
import { executeOp } from '../tfjs/execute.ts';
import type { Tensor } from '../tfjs/tf.ts';

/** The op that TensorFlow fuses MatMul and BiasAdd into with oneDNN; present in builds for x86 and ARM servers. */
const OP = '_MklNativeFusedMatMul';

export const canPackWeights = (api: CApi, precision: Precision): boolean =>
  process.env.TF_ENABLE_ONEDNN_OPTS !== '0' && hasOp(api, OP) && oneDnnMultiplies(precision);

/**
 * x W + b.
 * @param x_MC [M, C] @param weight_CO [C, O], read at the first run only @param bias_O [O]
 */
export const packedProduct = (x_MC: Tensor, weight_CO: Tensor, bias_O: Tensor): Tensor =>
  executeOp(
    OP,
    [
      typeAttr('T', DT.float32),
      intAttr('num_args', 1),
      stringAttr('fused_ops', ['BiasAdd']),
      boolAttr('transpose_a', false),
      boolAttr('transpose_b', false),
      boolAttr('is_filter_const', true),
      stringAttr('_kernel', 'MklNameChangeOp'),
    ],
    [x_MC, weight_CO, bias_O],
  );
