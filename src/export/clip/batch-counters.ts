// Counters of batches beside the running statistics of a ResNet: PyTorch's batch norm has one, which only training with
// a momentum of None reads.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { ClipModelConfig } from '../../config/clip.ts';
import { openaiRules } from '../../convert/clip/names.ts';
import { externalNames } from '../../convert/rules.ts';

/** By their names in openai/CLIP and open_clip, each 0. */
export function batchCounters(config: ClipModelConfig): [name: string, source: TensorSource][] {
  return externalNames(openaiRules(config))
    .filter((name) => name.endsWith('.running_mean'))
    .map((name) => [
      name.replace(/running_mean$/, 'num_batches_tracked'),
      { dtype: 'int64', shape: [], data: BigInt64Array.of(0n) },
    ]);
}
