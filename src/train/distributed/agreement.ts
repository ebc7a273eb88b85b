// What all workers must have in common before they train together: configuration, data, parts. Paths may differ.

import { createHash } from 'node:crypto';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ModelKind } from '../../config/kind.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { TrainingImages } from '../../data/training-images.ts';
import { DataError } from '../../util/errors.ts';

/** Keys of a configuration that name files, or what only worker 0 does with them. */
const OWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  data: ['path', 'tokens', 'validationPath', 'dvae', 'tokenizer', 'zeroShot'],
  train: ['initFrom'],
};

const hashOf = (...parts: readonly unknown[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part instanceof Uint8Array ? part : JSON.stringify(part ?? null));
  return hash.digest('hex');
};

/** @throws UsageError, on all workers, when one has another configuration */
export async function assertSameConfiguration(
  cluster: Cluster,
  kind: ModelKind,
  config: object,
): Promise<void> {
  const shared = Object.entries(config).map(([section, values]) => {
    const own = OWN_KEYS[section];
    return [section, own ? Object.entries(values as object).filter(([key]) => !own.includes(key)) : values];
  });
  await cluster.assertSame('configuration', hashOf(kind, shared));
}

/**
 * @param parts identify the training data: in their order, and the meaning of their ids
 * @param where this worker's data, for the error
 * @throws DataError, on all workers, when one has other data
 */
export const assertSameData = (cluster: Cluster, parts: readonly unknown[], where: string): Promise<void> =>
  cluster.assertSame(
    'data',
    hashOf(...parts),
    (rank) =>
      new DataError(`worker ${rank} has other data than worker 0`, {
        code: 'E_WORKER_DATA',
        where,
        fix: 'give all workers the same images, captions, tokenizer and dVAE; best the same files',
      }),
  );

/** What identifies images: their keys and captions, where they are in memory; otherwise how many there are. */
export const imagesOf = ({ training, all }: TrainingImages): unknown =>
  all?.map(({ key, captions }: CaptionedImage) => [key, captions]) ?? training.count;
