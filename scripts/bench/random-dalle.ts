// Writes the checkpoint of a DALL·E of any size with random weights, for start-of-drawing.ts: without flags, ruDALL-E XL's
// 1.3 billion parameters.
//
//   node --import tsx scripts/bench/random-dalle.ts OUT [--layers 24] [--width 2048]

import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import type { TensorSource } from '../../src/checkpoint/safetensors.ts';
import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dvaeModelSchema } from '../../src/config/dvae.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { imageTokenizer } from '../../src/models/dvae/architecture.ts';
import { flatten, type SpecTree } from '../../src/nn/parameters.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { UsageError } from '../../src/util/errors.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';
import { count, runScript } from './script.ts';

const HEAD_WIDTH = 128;
const CODES = 8192;

/** Each tensor is made when it is written, of the same numbers from another place on. */
function randomWeights(spec: SpecTree): [string, TensorSource][] {
  const random = new RandomStream('random-dalle', 1);
  const numbers = Float32Array.from({ length: 2 ** 20 - 3 }, () => random.normal());
  let place = 0;
  return flatten(spec).map(([name, { shape, init }]) => {
    const scale = init.kind === 'constant' ? 0.1 : shape.length === 2 ? (shape[0] as number) ** -0.5 : 0.02;
    const middle = init.kind === 'constant' ? init.value : 0;
    const data = (): Float32Array => {
      const values = new Float32Array(sizeOf(shape));
      for (let i = 0; i < values.length; i++)
        values[i] = middle + scale * (numbers[place++ % numbers.length] as number);
      return values;
    };
    return [name, { dtype: 'float32', shape, data }];
  });
}

await runScript(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      layers: { type: 'string', default: '24' },
      width: { type: 'string', default: '2048' },
    },
  });
  const [out] = positionals;
  if (out === undefined) throw new UsageError('name the folder to write', { code: 'E_ARGUMENT' });
  const tokenizer = await trainBpe(['a red circle', 'a blue square'], { vocabulary: 280 });
  const width = count('--width', values.width);
  const dvae = dvaeModelSchema.parse({
    architecture: 'dalle-pytorch',
    ...{ imageSize: 256, layers: 3, hiddenChannels: 64, codebookDim: 256, vocabulary: CODES },
  });
  const model = dalleModelSchema.parse({
    ...{ textLength: 128, textVocabulary: 16384, grid: 32, imageVocabulary: CODES, width },
    ...{ layers: count('--layers', values.layers), heads: width / HEAD_WIDTH },
    ...{ attention: ['row', 'column', 'row', 'row'], lastAttention: 'conv' },
  });
  const contents = { step: 1, seed: 1, dataPosition: null, metrics: {} };
  const [inner, warn] = [`${out}.dvae`, console.warn];
  try {
    await writeCheckpoint(inner, {
      ...{ ...contents, kind: 'dvae', config: { model: dvae } },
      model: randomWeights(imageTokenizer(dvae).spec),
    });
    await writeCheckpoint(out, {
      ...{ ...contents, kind: 'dalle', config: { model, train: {} }, tokenizer },
      model: randomWeights(dalleSpec(model)),
      dvae: await readCheckpoint(inner, { kind: 'dvae', warn }),
    });
  } finally {
    await rm(inner, { recursive: true, force: true });
  }
});
