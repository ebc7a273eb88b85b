// Lists the nodes that building a function adds to a graph, for cost.ts. TensorFlow infers shapes; nothing is
// allocated.

import { sizeOf } from '../../util/shape.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import { elementBytes } from '../native/dtype.ts';
import type { GraphNode } from './cost.ts';
import type { Graph } from './graph.ts';

export interface Examined {
  readonly nodes: readonly GraphNode[];
  /** Indices of the nodes that compute the function's results. */
  readonly results: ReadonlySet<number>;
}

/** Runs `build`, which returns a function's results, and lists the nodes it adds. */
export function examine(graph: Graph, build: () => readonly GraphOutput[]): Examined {
  const nodes: GraphNode[] = [];
  const indices = new Map<Pointer, number>();
  graph.onNode = (type, oper, inputs) => {
    const outputs = outputsOf(graph, oper);
    indices.set(oper, nodes.length);
    nodes.push({
      type,
      inputs: inputs.flatMap((input) => indices.get(input.oper) ?? []),
      inputShapes: inputs.map((input) => shapeOf(graph, input) ?? []),
      shape: outputs[0]?.shape ?? [],
      bytes: outputs.reduce((sum, { bytes }) => sum + bytes, 0),
    });
  };
  try {
    const fetches = build();
    return { nodes, results: new Set(fetches.flatMap(({ oper }) => indices.get(oper) ?? [])) };
  } finally {
    graph.onNode = undefined;
  }
}

function outputsOf(graph: Graph, oper: Pointer): { shape: readonly number[]; bytes: number }[] {
  return Array.from({ length: graph.api.outputCount(oper) }, (_, index) => {
    const output = { oper, index };
    const shape = shapeOf(graph, output);
    return { shape: shape ?? [], bytes: shape ? sizeOf(shape) * elementBytes(graph.dtype(output)) : 0 };
  });
}

/** Undefined for resources and for shapes that are only known at run time. */
function shapeOf(graph: Graph, output: GraphOutput): number[] | undefined {
  try {
    return graph.isNumeric(output) ? graph.shape(output) : undefined;
  } catch {
    return undefined;
  }
}
