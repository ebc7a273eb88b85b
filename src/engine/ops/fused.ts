// Chains of elementwise ops as one op, compiled by XLA: each single op is a pass over memory, and the chain is one for
// each of its results. Layers share what was compiled.

import { boolAttr } from '../graph/attributes.ts';
import { addFunction } from '../graph/function.ts';
import { Graph } from '../graph/graph.ts';
import { hasKernel } from '../graph/op-definitions.ts';
import { capi, type GraphOutput } from '../native/capi.ts';
import { DT } from '../native/dtype.ts';
import { outputOf, record, useTensorFlow, wrapOutput } from '../tfjs/backend.ts';
import { RecordingBinding } from '../tfjs/recording-binding.ts';
import { rowsOfBlock } from '../tfjs/row-blocks.ts';
import type { Tensor } from '../tfjs/tf.ts';
import { currentTrace, mayFuse } from '../tfjs/trace.ts';

/** Elements from which a pass over memory takes longer than the call of what is compiled. */
const WORTHWHILE = 2 ** 18;

type Elementwise = (...inputs: Tensor[]) => Tensor[];

/**
 * `f` of these tensors: in a function that is compiled for processors one op where that is faster, else f's own ops.
 * Results can differ from those of f's ops in their last bits.
 * @param name of f; the same name and shapes always have the same f
 * @param inputs float32
 * @param f of elementwise ops, and of sums of a few entries along an axis that is not the last one
 */
export function fused(name: string, inputs: readonly Tensor[], f: Elementwise): Tensor[] {
  if (!fuses(inputs)) return f(...inputs);
  const { graph, recording } = currentTrace();
  const key = [name, ...inputs.map(({ shape }) => shape.join('x'))].join('_');
  if (!graph.functions.has(key)) define(graph, key, inputs, f);
  const oper = graph.add(
    key,
    inputs.map((input) => outputOf(recording, input)),
    { attributes: [boolAttr('_XlaMustCompile', true)] },
  );
  return (graph.functions.get(key) ?? []).map((shape, index) => {
    const output: GraphOutput = { oper, index };
    graph.setShape(output, shape);
    return wrapOutput(recording, output);
  });
}

/** Adds f to the graph as a function. */
function define(graph: Graph, key: string, inputs: readonly Tensor[], f: Elementwise): void {
  const body = new Graph();
  const { eager } = useTensorFlow().binding;
  const recording = new RecordingBinding(body, eager, { precision: 'float32', sharesConstants: true });
  try {
    const placeholders = inputs.map(({ shape }) => body.placeholder(DT.float32, shape));
    const outputs = record(recording, () =>
      f(...placeholders.map((placeholder) => wrapOutput(recording, placeholder))).map((tensor) =>
        outputOf(recording, tensor),
      ),
    );
    addFunction(graph, key, body, placeholders, outputs);
  } finally {
    body.delete();
  }
}

/** Whether this TensorFlow has XLA for processors. */
let hasXla: boolean | undefined;

/** Whether `fused` of these tensors is one op. Blocks of rows round alike, whatever their number, as single ops alone. */
export function fuses(inputs: readonly Tensor[]): boolean {
  const isLarge = inputs.some(({ size }) => size >= WORTHWHILE);
  if (!isLarge || !mayFuse() || rowsOfBlock() !== undefined) return false;
  hasXla ??= hasKernel(capi(), 'XlaLaunch', 'CPU');
  return hasXla;
}
