// Time and memory of each op in a run, from TensorFlow's trace: for benchmarks and profiling.

import { readFields } from '../../util/protobuf.ts';

export interface OpTime {
  /** Type of the op, such as MatMul. */
  readonly type: string;
  readonly name: string;
  /** Start time in microseconds since the epoch. */
  readonly start: number;
  readonly microseconds: number;
  /** Bytes in use in the device's allocator after the outputs were allocated; 0 where the allocator does not count. */
  readonly bytesInUse: number;
}

// Field numbers of tensorflow/core/framework/step_stats.proto and config.proto.
const METADATA = { stepStats: 1 } as const;
const STEP_STATS = { device: 1 } as const;
const DEVICE = { node: 2 } as const;
const NODE = { name: 1, runStart: 2, start: 3, end: 4, memory: 6, label: 8 } as const;
const MEMORY = { bytesInUse: 5 } as const;

const TEXT = new TextDecoder();

/** Reads the ops of a serialized RunMetadata. */
export function readTimes(metadata: Uint8Array): OpTime[] {
  const times: OpTime[] = [];
  readFields(metadata, (field, stats) => {
    if (field !== METADATA.stepStats) return;
    readFields(stats as Uint8Array, (f, device) => {
      if (f !== STEP_STATS.device) return;
      readFields(device as Uint8Array, (g, node) => {
        if (g === DEVICE.node) times.push(readNode(node as Uint8Array));
      });
    });
  });
  return times;
}

function readNode(bytes: Uint8Array): OpTime {
  let name = '';
  let label = '';
  let runStart = 0;
  let start = 0;
  let end = 0;
  let bytesInUse = 0;
  readFields(bytes, (field, value) => {
    if (field === NODE.name) name = TEXT.decode(value as Uint8Array);
    else if (field === NODE.label) label = TEXT.decode(value as Uint8Array);
    else if (field === NODE.memory)
      readFields(value as Uint8Array, (of, bytes) => {
        if (of === MEMORY.bytesInUse) bytesInUse = Math.max(bytesInUse, bytes as number);
      });
    else if (field === NODE.runStart) runStart = value as number;
    else if (field === NODE.start) start = value as number;
    else if (field === NODE.end) end = value as number;
  });
  // The label reads "NAME = TYPE(inputs)".
  const type = / = ([\w]+)\(/.exec(label)?.[1] ?? name.replace(/_\d+$/, '');
  return { type, name, start: runStart + start, microseconds: end - start, bytesInUse };
}
