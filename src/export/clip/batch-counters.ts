// Counters of batches beside the running statistics of a ResNet: PyTorch's batch norm has one, which only training with
// a momentum of None reads.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { ClipModelConfig } from '../../config/clip.ts';
import { openaiRules } from '../../convert/clip/names.ts';
import { externalNames } from '../../convert/rules.ts';
import type { ExportFormat } from '../formats.ts';
import type { ExportModel } from '../model.ts';

/** By their names in openai/CLIP and open_clip, each 0; none for a model that came from there, which has its own. */
export function batchCounters(
  model: ExportModel,
  format: ExportFormat,
  config: ClipModelConfig,
): [name: string, source: TensorSource][] {
  if (model.origin(format)) return [];
  return externalNames(openaiRules(config))
    .filter((name) => name.endsWith('.running_mean'))
    .map((name) => [
      name.replace(/running_mean$/, 'num_batches_tracked'),
      { dtype: 'int64', shape: [], data: BigInt64Array.of(0n) },
    ]);
}
