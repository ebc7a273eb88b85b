// A small CLIP with random weights as a checkpoint: fast, and with features that differ.

import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { clipSpec } from '../../src/models/clip/model.ts';
import { flatten } from '../../src/nn/parameters.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { RandomStream } from '../../src/util/random.ts';
import { clipConfig } from './tiny-runs.ts';

/**
 * Writes the checkpoint folder `path` with the tokenizer in the file `tokenizer`; another seed gives other weights,
 * `model` goes over the model's sections.
 */
export async function writeTinyClip(
  path: string,
  tokenizer: string,
  seed = 1,
  model: object = {},
): Promise<void> {
  const config = clipConfig({ path: 'nowhere', tokenizer }, { model });
  const weights = flatten(clipSpec(config.model)).map(([name, { shape, init }]) => {
    const random = new RandomStream(seed, name);
    const count = shape.reduce((a, b) => a * b, 1);
    const middle = init.kind === 'constant' ? init.value : 0;
    const stddev = shape.length < 2 ? 0.1 : 1.5 / Math.sqrt(shape[0]!);
    const data = Float32Array.from({ length: count }, () => middle + stddev * random.normal());
    return [name, { dtype: 'float32', shape, data }] as const;
  });
  await writeCheckpoint(path, {
    kind: 'clip',
    step: 1,
    seed,
    dataPosition: null,
    metrics: {},
    config,
    model: weights,
    tokenizer: await loadTokenizer(tokenizer),
  });
}
