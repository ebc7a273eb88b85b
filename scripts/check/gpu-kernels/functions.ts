// The compiled functions of a program's run, as they are recorded for a machine with a GPU: the ops that stay on the
// processor, and the tensors that go from one memory to the other in a run.

import { Graph } from '../../../src/engine/graph/graph.ts';
import type { GraphOutput, Pointer } from '../../../src/engine/native/capi.ts';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import type { KernelRegistry, Placement } from './registry.ts';

export interface RecordedFunction {
  readonly name: string;
  nodes: number;
  /** Nodes without a kernel for GPUs, by op. */
  readonly onProcessor: Map<string, number>;
  /** Tensors that are copied to the GPU and from it, results not counted: the ops that make and that read each. */
  readonly toGpu: string[];
  readonly fromGpu: string[];
}

/** Inputs of a run come from the host; they are no ops of the model. */
const INPUT = 'Placeholder';

/** Collects the functions of all runtimes made from now on; they record as for a machine with a GPU. */
export function collectFunctions(registryOf: (graph: Graph) => KernelRegistry): readonly RecordedFunction[] {
  const functions: RecordedFunction[] = [];
  let current: RecordedFunction | undefined;
  Object.defineProperty(Runtime.prototype, 'devices', { get: () => ['CPU', 'GPU'] });

  const { compile } = Runtime.prototype;
  Runtime.prototype.compile = function (this: Runtime, name, body, options) {
    const recorded: typeof body = (inputs) => {
      current = { name, nodes: 0, onProcessor: new Map(), toGpu: [], fromGpu: [] };
      functions.push(current);
      return body(inputs);
    };
    return compile.call(this, name, recorded as never, options) as never;
  };

  const placements = new Map<Pointer, Placement>();
  const moved = new Set<string>();
  const { add } = Graph.prototype;
  Graph.prototype.add = function (this: Graph, type, inputs, options) {
    const operation = add.call(this, type, inputs, options);
    const placement = registryOf(this).place(type, operation);
    const own = type === INPUT ? { ...placement, outputsOnHost: [true] } : placement;
    placements.set(operation, own);
    if (current) count(this, current, type, inputs, own);
    return operation;
  };

  function count(
    graph: Graph,
    into: RecordedFunction,
    type: string,
    inputs: readonly GraphOutput[],
    placement: Placement,
  ): void {
    into.nodes++;
    if (!placement.isOnGpu) {
      into.onProcessor.set(type, (into.onProcessor.get(type) ?? 0) + 1);
    }
    for (const [i, input] of inputs.entries()) {
      const from = placements.get(input.oper)?.outputsOnHost[input.index] ?? true;
      const to = placement.inputsOnHost[i] ?? true;
      const key = `${input.oper} ${input.index} ${to}`;
      // A tensor is copied once, however many ops read the copy; handles of variables are no tensors.
      if (from === to || moved.has(key) || !graph.isNumeric(input)) continue;
      moved.add(key);
      (to ? into.fromGpu : into.toGpu).push(`${graph.opType(input)} → ${type}`);
    }
  }
  return functions;
}
