// The trace of the function being built: its graph, its devices, the variables it reads and the updates it contains.

import type { Graph } from '../graph/graph.ts';
import type { GraphOutput, Pointer } from '../native/capi.ts';
import type { HostTensor } from '../native/tensor.ts';
import type { RecordingBinding } from './recording-binding.ts';
import type { Tensor } from './tf.ts';

/** A variable as a key of a trace's maps. */
export interface TracedVariable {
  readonly name: string;
  /** See `Variable.release`. */
  release(after: Tensor): void;
}

/** What the function does on one device. Each device has a separate copy of every variable that is used there. */
export interface DeviceTrace {
  /** Values of variables at the start of the run. */
  readonly reads: Map<TracedVariable, Tensor>;
  readonly handles: Map<TracedVariable, GraphOutput>;
  /** Operations that the next update of a variable waits for: reads and the previous update. */
  readonly uses: Map<TracedVariable, Pointer[]>;
  readonly updated: Set<TracedVariable>;
  /** Collective ops recorded so far, in their order. */
  readonly collectives: Pointer[];
}

/** The devices of this process that each hold a replica of the training state, among those of all workers. */
export interface ReplicaDevices {
  /** Names of TensorFlow's, such as /device:GPU:0; one name, undefined, where TensorFlow chooses the device. */
  readonly names: readonly [string | undefined, ...(string | undefined)[]];
  readonly areGpus: boolean;
  /** Replicas of all workers, and the number of this process's first one among them. */
  readonly count: number;
  readonly first: number;
}

export interface Trace {
  readonly graph: Graph;
  readonly recording: RecordingBinding;
  readonly replicas: ReplicaDevices;
  /** Identifies the function and its input signature, the same in every process. */
  readonly scope: string;
  readonly byDevice: Map<string | undefined, DeviceTrace>;
  /** Of the device that ops are recorded for. */
  device: DeviceTrace;
  /** Operations that run with the function although no result depends on them: updates. */
  readonly targets: Pointer[];
  /** Variables whose values at the function's first run are used in all runs. */
  readonly frozen: ReadonlySet<TracedVariable>;
  /** Whether frozen matrices are given back once they are packed. */
  readonly releases: boolean;
  /** Values of the frozen variables that become constants of the graph. */
  readonly constants: ReadonlyMap<TracedVariable, HostTensor>;
  /** True when all devices are CPUs: ops may use variants that are faster on CPUs only. */
  readonly forCpu: boolean;
  /** Whether `fused` may compile what it is given. */
  readonly fuses: boolean;
}

export interface TraceOptions
  extends Pick<Trace, 'graph' | 'recording' | 'forCpu' | 'fuses' | 'scope' | 'replicas'> {
  readonly frozen?: Iterable<TracedVariable> | undefined;
  readonly releases?: boolean | undefined;
  readonly constants?: ReadonlyMap<TracedVariable, HostTensor> | undefined;
}

export function newTrace({
  frozen = [],
  releases = false,
  constants = new Map(),
  ...options
}: TraceOptions): Trace {
  const device = newDeviceTrace();
  const byDevice = new Map([[options.replicas.names[0], device]]);
  return { ...options, byDevice, device, targets: [], frozen: new Set(frozen), releases, constants };
}

const newDeviceTrace = (): DeviceTrace => ({
  reads: new Map(),
  handles: new Map(),
  uses: new Map(),
  updated: new Set(),
  collectives: [],
});

let current: Trace | undefined;

export const isBuilding = (): boolean => current !== undefined;

export const isBuildingForCpu = (): boolean => current?.forCpu ?? false;

export const mayFuse = (): boolean => current?.fuses ?? false;

/** Whether matrix products recorded now run on processors, in float32. */
export const multipliesOnCpu = (): boolean => isBuildingForCpu() && !currentTrace().recording.lowersProducts;

/** The frozen variable that a tensor is the value of. */
export function frozenVariable(tensor: Tensor): TracedVariable | undefined {
  for (const variable of current?.frozen ?? [])
    if (current?.device.reads.get(variable) === tensor) return variable;
  return undefined;
}

/** True where frozen matrices are given back once they are packed. */
export const releasesFrozen = (): boolean => current?.releases ?? false;

/** Records the ops of `body` for a device; variables in it are that device's copies. */
export function onDevice<T>(name: string | undefined, body: () => T): T {
  const trace = currentTrace();
  const { graph, byDevice } = trace;
  const outer = { name: graph.device, device: trace.device };
  graph.device = name;
  trace.device = byDevice.get(name) ?? newDeviceTrace();
  byDevice.set(name, trace.device);
  try {
    return body();
  } finally {
    graph.device = outer.name;
    trace.device = outer.device;
  }
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
