// Products with matrices that do not change any more. oneDNN brings a matrix in an order of its own for each product,
// which for a few rows takes longer than the product; TensorFlow's own op for it keeps the reordered matrix where it
// is told that it is constant, as constants of the graph are. The op is told so here, of a variable's value: a
// constant would take many times its memory while a graph is prepared.
//
// What it computes for a row is, bit for bit, the same whatever the number of rows. This was found for every shape tried
// (AVX2; docs/LOG.md), and test/engine/packed-weights.test.ts holds it.

import { boolAttr, intAttr, stringAttr, typeAttr } from '../graph/attributes.ts';
import { hasOp } from '../graph/op-definitions.ts';
import type { CApi } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { executeOp } from '../tfjs/execute.ts';
import type { Tensor } from '../tfjs/tf.ts';

/** What TensorFlow makes of MatMul and BiasAdd where oneDNN is on; present in builds for x86 and ARM servers. */
const OP = '_MklNativeFusedMatMul';

export const canPackWeights = (api: CApi): boolean =>
  process.env.TF_ENABLE_ONEDNN_OPTS !== '0' && hasOp(api, OP);

/** x W + b. @param x_NI [N, I] @param weight_IO [I, O], whose values at the first run count @param bias_O [O] */
export const packedProduct = (x_NI: Tensor, weight_IO: Tensor, bias_O: Tensor): Tensor =>
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
    [x_NI, weight_IO, bias_O],
  );
