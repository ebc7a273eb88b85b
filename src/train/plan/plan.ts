// What a configuration would take, found by building its gradients' real graph and running nothing.

import { flopsOf, type GraphNode, peakBytes, pruneUnneeded } from '../../engine/graph/cost.ts';
import type { Examined } from '../../engine/graph/examine.ts';
import { flatten, type SpecTree } from '../../nn/parameters.ts';
import type { WeightEntries } from '../../nn/weights.ts';

const FLOAT32 = 4;

/** A training configuration, as far as planning goes. */
export interface Planned {
  readonly kind: string;
  readonly spec: SpecTree;
  /** Parts whose parameters are counted together, by the name of a weight. */
  readonly partOf: (name: string) => string;
  /** Those of the weights that are trained. */
  readonly trained: WeightEntries;
  readonly batch: number;
  /** Parts that a batch is taken in. */
  readonly accumulate: number;
  readonly steps: number;
  readonly hasAverage: boolean;
  /** Builds the gradients of `count` examples. */
  readonly gradients: (count: number) => Examined;
}

export interface Plan {
  readonly kind: string;
  readonly parameters: {
    readonly total: number;
    readonly trained: number;
    readonly parts: Record<string, number>;
  };
  /** Of the matrix products and convolutions of one update of the whole batch, forwards and backwards. */
  readonly flopsPerStep: number;
  readonly flopsPerRun: number;
  readonly devices: number;
  /** Examples that one device holds at once. */
  readonly examplesAtOnce: number;
  /** Bytes on each device; what has a value for each parameter is shared out, activations are of its examples. */
  readonly memory: {
    readonly weights: number;
    readonly gradients: number;
    readonly moments: number;
    readonly average: number;
    readonly activations: number;
    readonly total: number;
  };
  readonly graphNodes: number;
}

/** `devices` share the weights, their gradients and moments, and the batch. */
export function plan(model: Planned, devices: number): Plan {
  const sizes = flatten(model.spec).map(
    ([name, { shape }]) => [name, shape.reduce((a, b) => a * b, 1)] as const,
  );
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  const trained = sizes.reduce((sum, [name, size]) => sum + (model.trained.has(name) ? size : 0), 0);
  const parts: Record<string, number> = {};
  for (const [name, size] of sizes) parts[model.partOf(name)] = (parts[model.partOf(name)] ?? 0) + size;
  const examples = Math.max(1, Math.ceil(model.batch / model.accumulate / devices));
  const { nodes: recorded, results } = model.gradients(examples);
  const nodes = pruneUnneeded(recorded, results);
  const flops = nodes.reduce((sum: number, node: GraphNode) => sum + flopsOf(node), 0);
  const flopsPerStep = (flops * model.batch) / examples;
  const each = (count: number, copies: number): number => Math.ceil((count * copies * FLOAT32) / devices);
  const memory = {
    weights: each(total, 1),
    gradients: each(trained, 1),
    moments: each(trained, 2),
    average: each(total, model.hasAverage ? 1 : 0),
    activations: peakBytes(nodes, results),
  };
  return {
    kind: model.kind,
    parameters: { total, trained, parts },
    flopsPerStep,
    flopsPerRun: flopsPerStep * model.steps,
    devices,
    examplesAtOnce: examples,
    memory: { ...memory, total: Object.values(memory).reduce((a, b) => a + b, 0) },
    graphNodes: nodes.length,
  };
}
