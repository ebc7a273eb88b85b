// Frozen weights of the joint Transformer: train.freeze.

import type { WeightEntries } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';

/**
 * The weights that are trained: all except the frozen ones.
 * @param freeze names of weights, or prefixes of names up to a dot
 * @throws UsageError when one matches no weight, or nothing is left to train
 */
export function trainedEntries(entries: WeightEntries, freeze: readonly string[]): WeightEntries {
  const isOf = (name: string, prefix: string): boolean => name === prefix || name.startsWith(`${prefix}.`);
  const unused = freeze.find((prefix) => ![...entries.keys()].some((name) => isOf(name, prefix)));
  if (unused !== undefined) {
    const tops = [...new Set([...entries.keys()].map((name) => name.split('.')[0]))];
    throw new UsageError(`train.freeze names no weights: ${unused}`, {
      code: 'E_FREEZE',
      where: 'train.freeze',
      fix: `names begin with ${tops.join(', ')}; those of layer N with blocks.block_N`,
    });
  }
  const trained = new Map([...entries].filter(([name]) => !freeze.some((prefix) => isOf(name, prefix))));
  if (trained.size > 0) return trained;
  throw new UsageError('train.freeze leaves nothing to train', {
    code: 'E_FREEZE',
    where: 'train.freeze',
    fix: 'freeze fewer weights',
  });
}
