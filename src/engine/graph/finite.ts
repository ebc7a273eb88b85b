// Finding the first tensor of a function that is not finite: a check behind each of its numbers, in the order in which
// they were recorded.

import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { boolAttr, typeAttr } from './attributes.ts';
import type { Graph } from './graph.ts';

/** bool[n]: whether each of the float32 outputs is finite. */
export function finiteChecks(graph: Graph, outputs: readonly GraphOutput[]): GraphOutput {
  const checks = outputs.map((output) => {
    const rank = graph.shape(output).length;
    const axes = graph.constant(
      DT.int32,
      [rank],
      Array.from({ length: rank }, (_, axis) => axis),
    );
    const finite = graph.output('IsFinite', [output], { attributes: [typeAttr('T', DT.float32)] });
    return graph.output('All', [finite, axes], {
      attributes: [boolAttr('keep_dims', false), typeAttr('Tidx', DT.int32)],
    });
  });
  return graph.output('Pack', checks, { attributes: [typeAttr('T', DT.bool)] });
}
