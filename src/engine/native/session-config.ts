// The fields of TensorFlow's ConfigProto and RunOptions that the program sets.

import { bytesField, integerField, message } from '../../util/protobuf.ts';

export interface SessionConfig {
  /** Threads inside one op; 0 lets TensorFlow choose. */
  readonly intraOpThreads?: number;
  /** Ops that run in parallel; 0 lets TensorFlow choose. */
  readonly interOpThreads?: number;
  /** CPU devices that the processor is shown as. */
  readonly cpuDevices?: number;
  /** GPUs that the session may use; all of them by default. */
  readonly gpus?: number;
  /** Whether the session runs on a server (distributed/server.ts). */
  readonly isServed?: boolean;
}

// Field numbers of tensorflow/core/protobuf/config.proto.
const CONFIG = {
  deviceCount: 1,
  intraOpThreads: 2,
  interOpThreads: 5,
  gpuOptions: 6,
  allowSoftPlacement: 7,
  graphOptions: 10,
} as const;
const GRAPH_OPTIONS = { placePrunedGraph: 6, rewriteOptions: 10 } as const;
const REWRITER = { disableMetaOptimizer: 19 } as const;
const MAP_ENTRY = { key: 1, value: 2 } as const;
const GPU_OPTIONS = { allowGrowth: 4 } as const;

export function sessionConfig({
  intraOpThreads = 0,
  interOpThreads = 0,
  cpuDevices = 1,
  gpus,
  isServed = false,
}: SessionConfig): Uint8Array {
  const devices = (type: string, count: number): Uint8Array =>
    bytesField(
      CONFIG.deviceCount,
      message(bytesField(MAP_ENTRY.key, type), integerField(MAP_ENTRY.value, count)),
    );
  return message(
    ...(cpuDevices > 1 ? [devices('CPU', cpuDevices)] : []),
    ...(gpus === undefined ? [] : [devices('GPU', gpus)]),
    integerField(CONFIG.intraOpThreads, intraOpThreads),
    integerField(CONFIG.interOpThreads, interOpThreads),
    integerField(CONFIG.allowSoftPlacement, true),
    bytesField(CONFIG.gpuOptions, integerField(GPU_OPTIONS.allowGrowth, true)),
    bytesField(CONFIG.graphOptions, graphOptions(isServed)),
  );
}

/**
 * Without TensorFlow's graph optimizer (Grappler), which takes most of a function's first run and makes later runs no
 * faster (docs/LOG.md): the fusions that are worth it are recorded as fused ops. Each function's part of the graph can
 * then be placed alone; a server places the whole graph each time that a function is added.
 */
const graphOptions = (isServed: boolean): Uint8Array =>
  isServed
    ? bytesField(GRAPH_OPTIONS.rewriteOptions, integerField(REWRITER.disableMetaOptimizer, true))
    : integerField(GRAPH_OPTIONS.placePrunedGraph, true);

export interface RunSettings {
  /** Collect the time of each op; this slows the run. */
  readonly traced: boolean;
  /** Run the ops one after another in the calling thread; each may still use threads inside. */
  readonly inOneThread: boolean;
}

const RUN = { traceLevel: 1, interOpThreadPool: 3 } as const;
const FULL_TRACE = 3;
const CALLING_THREAD = -1;

/** A serialized RunOptions; undefined for TensorFlow's defaults. */
export function runOptions({ traced, inOneThread }: RunSettings): Uint8Array | undefined {
  if (!traced && !inOneThread) return undefined;
  return message(
    ...(traced ? [integerField(RUN.traceLevel, FULL_TRACE)] : []),
    ...(inOneThread ? [integerField(RUN.interOpThreadPool, CALLING_THREAD)] : []),
  );
}
