// The cost of a recorded function, computed from its nodes without running it: floating-point operations of its matrix
// products and convolutions, and peak memory of its values. The order of recording stands for the order of execution;
// ops that TensorFlow runs in parallel can take more memory.

import { sizeOf } from '../../util/shape.ts';

/** One node of a recorded function. */
export interface GraphNode {
  readonly type: string;
  /** Indices of the nodes that its inputs come from. */
  readonly inputs: readonly number[];
  readonly inputShapes: readonly (readonly number[])[];
  /** Shape of the first output. */
  readonly shape: readonly number[];
  /** Bytes of all outputs. */
  readonly bytes: number;
}

/** Multiplications plus additions of a matrix product or convolution; 0 for other ops. */
export function flopsOf({ type, shape, inputShapes }: GraphNode): number {
  const [first = [], second = [], third = []] = inputShapes;
  switch (type) {
    case 'MatMul':
    case '_FusedMatMul':
    case 'BatchMatMulV2':
    case 'BatchMatMulV3': {
      // size(first) / rows is the length of the sum behind each element of the result.
      const rows = sizeOf(shape.slice(0, -1));
      return (2 * sizeOf(shape) * sizeOf(first)) / rows;
    }
    case 'Conv2D':
      return 2 * sizeOf(shape) * sizeOf(second.slice(0, 3));
    case 'Conv2DBackpropInput':
      return 2 * sizeOf(third) * sizeOf(second.slice(0, 3));
    case 'Conv2DBackpropFilter':
      return 2 * sizeOf(third) * sizeOf(shape.slice(0, 3));
    default:
      return 0;
  }
}

/** The same nodes with those that no result needs replaced by free NoOps: TensorFlow does not run them. */
export function pruneUnneeded(nodes: readonly GraphNode[], results: ReadonlySet<number>): GraphNode[] {
  const needed = new Set(results);
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (needed.has(i)) for (const input of nodes[i]?.inputs ?? []) needed.add(input);
  }
  return nodes.map((node, i) =>
    needed.has(i) ? node : { ...node, type: 'NoOp', inputs: [], inputShapes: [], bytes: 0 },
  );
}

/** Ops whose output shares the memory of the first input. */
export const VIEWS: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'ExpandDims', 'Squeeze']);
/** Ops whose output is fed or held by the session. */
const FREE: ReadonlySet<string> = new Set(['Placeholder', 'ReadVariableOp', 'VarHandleOp', 'Const']);
/** Ops that reuse the memory of an input of the same size after its last use. */
const IN_PLACE: ReadonlySet<string> = new Set(
  (
    'Abs Add AddN AddV2 Cast Div Erf Exp Log Maximum Minimum Mul MulNoNan Neg Pow RealDiv Relu ReluGrad Rsqrt ' +
    'Select SelectV2 Sigmoid Softmax Sqrt Square Sub Tanh'
  ).split(' '),
);

/**
 * Peak memory of all values in bytes, without the nodes in `kept` (the function's results, which stay allocated to the
 * end).
 */
export function peakBytes(nodes: readonly GraphNode[], kept: ReadonlySet<number>): number {
  // The node that owns the memory of each node's output.
  const owner = nodes.map((_, i) => i);
  nodes.forEach(({ type, inputs }, i) => {
    const [source] = inputs;
    // What a gather gives has no known size; the Reshape behind it counts instead.
    const isKnown =
      source !== undefined && (FREE.has(nodes[source]!.type) || nodes[owner[source]!]!.bytes > 0);
    if (VIEWS.has(type) && isKnown) owner[i] = owner[source] as number;
  });
  const ownedByKept = new Set([...kept].map((i) => owner[i] as number));
  const lastUse = nodes.map((_, i) => i);
  nodes.forEach(({ inputs }, i) => {
    for (const input of inputs) lastUse[owner[input] as number] = i;
  });
  const held = nodes.map(() => 0);
  let live = 0;
  let peak = 0;
  nodes.forEach(({ type, inputs, bytes }, i) => {
    const ending = new Set(
      inputs.map((input) => owner[input] as number).filter((input) => lastUse[input] === i),
    );
    if (owner[i] === i && !FREE.has(type) && !ownedByKept.has(i)) {
      const reused = IN_PLACE.has(type) ? [...ending].find((input) => held[input] === bytes) : undefined;
      if (reused !== undefined) held[reused] = 0;
      else live += bytes;
      held[i] = bytes;
    }
    peak = Math.max(peak, live);
    for (const input of ending) {
      live -= held[input] as number;
      held[input] = 0;
    }
    // Output without a use.
    if (lastUse[i] === i) {
      live -= held[i] as number;
      held[i] = 0;
    }
  });
  return peak;
}
