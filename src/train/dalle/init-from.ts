// Initializes a run with the weights of a checkpoint, whose text may be shorter: train.initFrom.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { dalleCheckpointSchema } from '../../config/dalle.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import { flatten } from '../../nn/parameters.ts';
import type { Weights } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';

/**
 * Loads the weights of a checkpoint, its EMA where it has one, over initialized weights. When the text is longer than
 * the checkpoint's, the new positions and their padding keep their initial values.
 * @throws UsageError when the models differ in more than the length of the text
 */
export async function initFrom<S extends SpecTree>(
  weights: Weights<S>,
  checkpoint: Checkpoint,
  model: DalleModelConfig,
): Promise<void> {
  const before = checkpoint.config(dalleCheckpointSchema).model;
  assertSameModels(before, model, checkpoint.path);
  const loaded = await checkpoint.read(checkpoint.bestPart, flatten(dalleSpec(before)));
  const initial = await weights.save();
  const merged = [...initial].map(([name, value]): [string, HostTensor] => [
    name,
    overlaid(value, loaded.get(name) as HostTensor),
  ]);
  await weights.load(new Map(merged));
}

/** Keys that may differ: text can become longer, and the standard deviation of initial weights has no effect. */
const MAY_DIFFER: ReadonlySet<string> = new Set(['textLength', 'initialStddev']);

function assertSameModels(before: DalleModelConfig, model: DalleModelConfig, where: string): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(model)])] as (keyof DalleModelConfig)[];
  const other = keys.filter(
    (key) => !MAY_DIFFER.has(key) && JSON.stringify(before[key]) !== JSON.stringify(model[key]),
  );
  if (other.length > 0) {
    const list = other.map((key) => `${key}: ${JSON.stringify(before[key])}`).join(', ');
    throw new UsageError(`the model differs from that of the checkpoint in ${other.join(', ')}`, {
      code: 'E_INIT_FROM_MODEL',
      where,
      fix: `use the model section of its config.yaml (${list})`,
    });
  }
  if (before.textLength > model.textLength) {
    throw new UsageError(
      `model.textLength is ${model.textLength}, the checkpoint's ${before.textLength}: text can become longer, not shorter`,
      {
        code: 'E_INIT_FROM_MODEL',
        where,
        fix: `set model.textLength to at least ${before.textLength}`,
      },
    );
  }
}

/** A copy of `whole` with `part` over its first rows and columns. */
function overlaid(whole: HostTensor, part: HostTensor): HostTensor {
  if (whole.shape.join() === part.shape.join()) return part;
  const data = Float32Array.from(whole.data as Float32Array);
  const [width, partWidth] = [whole.shape.at(-1) as number, part.shape.at(-1) as number];
  const rows = part.data.length / partWidth;
  for (let row = 0; row < rows; row++) {
    const values = (part.data as Float32Array).subarray(row * partWidth, (row + 1) * partWidth);
    data.set(values, row * width);
  }
  return { ...whole, data };
}
