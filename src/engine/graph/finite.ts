// The NaN finder's graph: one check for each float32 tensor of a function, in the order of recording.

import type { GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { boolAttr, typeAttr } from './attributes.ts';
import type { Graph } from './graph.ts';

/** bool[n]: true where all elements of the float32 output are finite. */
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
