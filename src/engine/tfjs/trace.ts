// The function being built: its graph, what it reads, and the updates it includes.

import type { Graph } from '../graph/graph.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import type { HostTensor } from '../native/tensor.ts';
import type { RecordingBinding } from './recording-binding.ts';
import type { Tensor } from './tf.ts';

/** What a trace knows of a variable: it is a key of its maps. */
export interface TracedVariable {
  readonly name: string;
}

export interface Trace {
  readonly graph: Graph;
  readonly recording: RecordingBinding;
  /** Values at the start of the run. */
  readonly reads: Map<TracedVariable, Tensor>;
  readonly handles: Map<TracedVariable, GraphOutput>;
  /** Operations that the next update of a variable waits for: reads, and the update before. */
  readonly uses: Map<TracedVariable, Pointer[]>;
  readonly updated: Set<TracedVariable>;
  /** Operations that run with the function although no result needs them. */
  readonly targets: Pointer[];
  /** Variables that keep the values they have at the function's first run. */
  readonly frozen: ReadonlySet<TracedVariable>;
  /** Values of frozen variables that are constants of the graph. */
  readonly constants: ReadonlyMap<TracedVariable, HostTensor>;
  /** Whether ops may take a detour that pays on processors alone. */
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

/** Whether this is what a frozen variable reads as. */
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
