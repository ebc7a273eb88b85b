// The trace of the function being built: its graph, the variables it reads and the updates it contains.

import type { Graph } from '../graph/graph.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import type { HostTensor } from '../native/tensor.ts';
import type { RecordingBinding } from './recording-binding.ts';
import type { Tensor } from './tf.ts';

/** A variable as a key of a trace's maps. */
export interface TracedVariable {
  readonly name: string;
}

export interface Trace {
  readonly graph: Graph;
  readonly recording: RecordingBinding;
  /** Values of variables at the start of the run. */
  readonly reads: Map<TracedVariable, Tensor>;
  readonly handles: Map<TracedVariable, GraphOutput>;
  /** Operations that the next update of a variable waits for: reads and the previous update. */
  readonly uses: Map<TracedVariable, Pointer[]>;
  readonly updated: Set<TracedVariable>;
  /** Operations that run with the function although no result depends on them: updates. */
  readonly targets: Pointer[];
  /** Variables whose values at the function's first run are used in all runs. */
  readonly frozen: ReadonlySet<TracedVariable>;
  /** Values of the frozen variables that become constants of the graph. */
  readonly constants: ReadonlyMap<TracedVariable, HostTensor>;
  /** True when all devices are CPUs: ops may use variants that are faster on CPUs only. */
  readonly forCpu: boolean;
}

export const newTrace = (
  graph: Graph,
  recording: RecordingBinding,
  forCpu: boolean,
  frozen: Iterable<TracedVariable> = [],
  constants: ReadonlyMap<TracedVariable, HostTensor> = new Map(),
): Trace => ({
  graph,
  recording,
  reads: new Map(),
  handles: new Map(),
  uses: new Map(),
  updated: new Set(),
  targets: [],
  frozen: new Set(frozen),
  constants,
  forCpu,
});

let current: Trace | undefined;

export const isBuilding = (): boolean => current !== undefined;

export const isBuildingForCpu = (): boolean => current?.forCpu ?? false;

/** True for the value read from a frozen variable. */
export function isFrozen(tensor: Tensor): boolean {
  for (const variable of current?.frozen ?? []) if (current?.reads.get(variable) === tensor) return true;
  return false;
}

export function currentTrace(): Trace {
  if (!current) throw new Error('variables can only be used while a function is being built');
  return current;
}

export function withTrace<T>(trace: Trace, body: () => T): T {
  current = trace;
  try {
    return body();
  } finally {
    current = undefined;
  }
}
