// TensorFlow's ConfigProto, as far as the program sets it.

import { bytesField, integerField, message } from '../util/protobuf.ts';

export interface SessionConfig {
  /** Threads inside one op; 0 lets TensorFlow choose. */
  readonly intraOpThreads?: number;
  /** Ops at once; 0 lets TensorFlow choose. */
  readonly interOpThreads?: number;
}

// Field numbers of tensorflow/core/protobuf/config.proto.
const CONFIG = { intraOpThreads: 2, interOpThreads: 5, gpuOptions: 6, allowSoftPlacement: 7 } as const;
const GPU_OPTIONS = { allowGrowth: 4 } as const;

export function sessionConfig({ intraOpThreads = 0, interOpThreads = 0 }: SessionConfig): Uint8Array {
  return message(
    integerField(CONFIG.intraOpThreads, intraOpThreads),
    integerField(CONFIG.interOpThreads, interOpThreads),
    integerField(CONFIG.allowSoftPlacement, true),
    bytesField(CONFIG.gpuOptions, integerField(GPU_OPTIONS.allowGrowth, true)),
  );
}
