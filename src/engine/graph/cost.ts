// What a recorded function costs, from its nodes alone: floating-point operations of its products, and the most memory
// that its values take at once. Nothing is run. Nodes are in the order in which they were recorded, which stands for the
// order in which they run; what TensorFlow does at the same time can take more.

import { sizeOf } from '../../util/shape.ts';

/** A node of a graph. */
export interface GraphNode {
  readonly type: string;
  /** Places of the nodes it takes values from. */
  readonly inputs: readonly number[];
  readonly inputShapes: readonly (readonly number[])[];
  /** Shape of its first result. */
  readonly shape: readonly number[];
  /** Bytes of all results. */
  readonly bytes: number;
}

/** Multiplications and additions of matrix products and convolutions; other ops count as none. */
export function flopsOf({ type, shape, inputShapes }: GraphNode): number {
  const [first = [], second = [], third = []] = inputShapes;
  switch (type) {
    case 'MatMul':
    case 'BatchMatMulV2': {
      // Rows of all matrices of the result; each is a sum over as many terms as a row of the first input has.
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

/** The nodes, of which those that no result needs cost nothing: TensorFlow does not run them. */
export function pruneUnneeded(nodes: readonly GraphNode[], results: ReadonlySet<number>): GraphNode[] {
  const needed = new Set(results);
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (needed.has(i)) for (const input of nodes[i]?.inputs ?? []) needed.add(input);
  }
  return nodes.map((node, i) =>
    needed.has(i) ? node : { ...node, type: 'NoOp', inputs: [], inputShapes: [], bytes: 0 },
  );
}

/** Their result is their first input under another name. */
const VIEWS: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'ExpandDims', 'Squeeze']);
/** Fed from outside, or kept in the session. */
const FREE: ReadonlySet<string> = new Set(['Placeholder', 'ReadVariableOp', 'VarHandleOp', 'Const']);
/** They write over an input of the same size that nobody needs any more. */
const IN_PLACE: ReadonlySet<string> = new Set(
  (
    'Abs Add AddN AddV2 Cast Div Erf Exp Log Maximum Minimum Mul MulNoNan Neg Pow RealDiv Relu ReluGrad Rsqrt ' +
    'Select SelectV2 Sigmoid Softmax Sqrt Square Sub Tanh'
  ).split(' '),
);

/**
 * The most bytes that values take at once, without those of the nodes in `kept` (the function's results), which stay
 * to its end.
 */
export function peakBytes(nodes: readonly GraphNode[], kept: ReadonlySet<number>): number {
  // The node whose memory a node's result lies in.
  const owner = nodes.map((_, i) => i);
  nodes.forEach(({ type, inputs }, i) => {
    const [source] = inputs;
    if (VIEWS.has(type) && source !== undefined) owner[i] = owner[source] as number;
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
    // A result that nobody uses.
    if (lastUse[i] === i) {
      live -= held[i] as number;
      held[i] = 0;
    }
  });
  return peak;
}
