// Beginning a run with the weights of another one, whose text may have been shorter.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { type DalleModelConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import type { SpecTree } from '../../nn/parameters.ts';
import { flatten } from '../../nn/parameters.ts';
import type { WeightEntries, Weights } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';

/** The weights that train: all but those that a name, or the beginning of one up to a dot, freezes. */
export function trainedEntries(entries: WeightEntries, freeze: readonly string[]): WeightEntries {
  const isOf = (name: string, prefix: string): boolean => name === prefix || name.startsWith(`${prefix}.`);
  const idle = freeze.find((prefix) => ![...entries.keys()].some((name) => isOf(name, prefix)));
  if (idle !== undefined) {
    const tops = [...new Set([...entries.keys()].map((name) => name.split('.')[0]))];
    throw new UsageError(`train.freeze names no weights: ${idle}`, {
      where: 'train.freeze',
      fix: `weights begin with ${tops.join(', ')}; those of a layer with blocks.block_1 to blocks.block_N`,
    });
  }
  const trained = new Map([...entries].filter(([name]) => !freeze.some((prefix) => isOf(name, prefix))));
  if (trained.size > 0) return trained;
  throw new UsageError('train.freeze leaves nothing to train', { where: 'train.freeze', fix: 'freeze less' });
}

/**
 * Loads the weights of a checkpoint, its averaged ones where it has them, over those just drawn. With a longer text,
 * new positions and their padding keep what was drawn.
 * @throws UsageError when the models differ in more than the length of the text
 */
export async function initFrom<S extends SpecTree>(
  weights: Weights<S>,
  checkpoint: Checkpoint,
  model: DalleModelConfig,
): Promise<void> {
  const before = checkpoint.config(dalleCheckpointSchema).model;
  assertSameModels(before, model, checkpoint.path);
  const given = await checkpoint.read(checkpoint.bestPart, flatten(dalleSpec(before)));
  const drawn = await weights.save();
  const merged = [...drawn].map(([name, value]): [string, HostTensor] => [
    name,
    overlaid(value, given.get(name) as HostTensor),
  ]);
  await weights.load(new Map(merged));
}

/** What need not be the same: the text can become longer, and how weights were drawn is of no matter now. */
const FREE: ReadonlySet<string> = new Set(['textLength', 'initialStddev']);

function assertSameModels(before: DalleModelConfig, model: DalleModelConfig, where: string): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(model)])] as (keyof DalleModelConfig)[];
  const other = keys.filter(
    (key) => !FREE.has(key) && JSON.stringify(before[key]) !== JSON.stringify(model[key]),
  );
  if (other.length > 0) {
    const list = other.map((key) => `${key}: ${JSON.stringify(before[key])}`).join(', ');
    throw new UsageError(`the model differs from that of the checkpoint in ${other.join(', ')}`, {
      where,
      fix: `take the model section of its config.yaml (${list})`,
    });
  }
  if (before.textLength > model.textLength) {
    throw new UsageError(
      `model.textLength is ${model.textLength}, the checkpoint's ${before.textLength}: text can become longer, not shorter`,
      { where, fix: `set model.textLength to ${before.textLength} or more` },
    );
  }
}

/** `corner` over the first rows and columns of `whole`. */
function overlaid(whole: HostTensor, corner: HostTensor): HostTensor {
  if (whole.shape.join() === corner.shape.join()) return corner;
  const data = Float32Array.from(whole.data as Float32Array);
  const [width, cornerWidth] = [whole.shape.at(-1) as number, corner.shape.at(-1) as number];
  const rows = corner.data.length / cornerWidth;
  for (let row = 0; row < rows; row++) {
    const values = (corner.data as Float32Array).subarray(row * cornerWidth, (row + 1) * cornerWidth);
    data.set(values, row * width);
  }
  return { ...whole, data };
}
