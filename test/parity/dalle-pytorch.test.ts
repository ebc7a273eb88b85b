// DALLE-pytorch's models, converted, against what they give there (scripts/fixtures/dalle_pytorch_models.py).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { DalleModelConfig } from '../../src/config/dalle-model.ts';
import { dallePytorchModel } from '../../src/convert/dalle/weights.ts';
import type { PickleValue } from '../../src/convert/pickle/values.ts';
import { TorchFile } from '../../src/convert/torch/file.ts';
import { stateDict } from '../../src/convert/torch/state-dict.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { dalleLoss } from '../../src/models/dalle/loss.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { unflatten } from '../../src/nn/parameters.ts';
import { DataError } from '../../src/util/errors.ts';
import { largestDifference, numbers } from '../support/perturbed.ts';

useTensorFlow();

const FOLDER = join(import.meta.dirname, 'fixtures', 'dalle-pytorch');

interface Expected {
  readonly text: number[][];
  readonly image: number[][];
  readonly textLogits: number[];
  readonly imageLogits: number[];
  readonly loss: number;
}

const expected = JSON.parse(await readFile(join(FOLDER, 'expected.json'), 'utf8')) as Record<
  string,
  Expected
>;

async function convert(name: string): Promise<{ model: DalleModelConfig; weights: Map<string, Tensor> }> {
  const file = await TorchFile.open(join(FOLDER, `${name}.pt`));
  try {
    const saved = file.value as Map<PickleValue, PickleValue>;
    const tensors = [...stateDict(saved.get('weights')!, name)].filter(([key]) => !key.startsWith('vae.'));
    const settings = saved.get('hparams') as Map<PickleValue, PickleValue>;
    const { model, found } = dallePytorchModel(settings, new Map(tensors), name);
    const weights = new Map<string, Tensor>();
    for (const [key, { shape, data }] of found) {
      const values = typeof data === 'function' ? await data() : data;
      weights.set(key, tf.tensor(values as Float32Array, [...shape]));
    }
    return { model, weights };
  } finally {
    await file.close();
  }
}

/** Padding is 0 there, and a token of its own for each position here. */
const padded = (text: number[][], { textVocabulary }: DalleModelConfig): Tensor2D =>
  tf.tensor2d(
    text.map((row) => row.map((id, t) => (id === 0 ? textVocabulary + t : id))),
    [text.length, text[0]!.length],
    'int32',
  );

const inputsOf = (name: string, model: DalleModelConfig) => {
  const { text, image } = expected[name]!;
  return [padded(text, model), tf.tensor2d(image, [image.length, image[0]!.length], 'int32')] as const;
};

const parametersOf = (model: DalleModelConfig, weights: ReadonlyMap<string, Tensor>) =>
  unflatten(dalleSpec(model), (key) => weights.get(key)!);

function differenceOfLogits(
  name: string,
  model: DalleModelConfig,
  weights: ReadonlyMap<string, Tensor>,
): number {
  const { textLogits, imageLogits } = expected[name]!;
  const { text_BTV, image_BIV } = logits(parametersOf(model, weights), ...inputsOf(name, model), model);
  return Math.max(
    largestDifference(numbers(text_BTV), textLogits),
    largestDifference(numbers(image_BIV), imageLogits),
  );
}

function lossOf(name: string, model: DalleModelConfig, weights: ReadonlyMap<string, Tensor>): number {
  const inputs = inputsOf(name, model);
  const { loss } = dalleLoss(parametersOf(model, weights), ...inputs, model, { textWeight: 1 / 8 });
  return loss.dataSync()[0]!;
}

for (const name of Object.keys(expected)) {
  describe(name, async () => {
    const { model, weights } = await convert(name);

    test('logits and loss are those of the model it comes from', () => {
      const far = differenceOfLogits(name, model, weights);
      assert.ok(far < 1e-4, `${far}`);
      const loss = lossOf(name, model, weights);
      assert.ok(Math.abs(loss - expected[name]!.loss) < 1e-4, `${loss}`);
    });

    if (!['full', 'sandwich', 'everything'].includes(name)) return;
    test('a change of any weight would be noticed', () => {
      for (const [key, weight] of weights) {
        // Of keys it moves all scores of a query alike; they have none there.
        if (key.endsWith('qkv.bias')) continue;
        const changed = new Map(weights).set(
          key,
          tf.mul(weight, tf.linspace(0.5, 1.5, weight.size).reshape(weight.shape)),
        );
        const far = differenceOfLogits(name, model, changed);
        assert.ok(far > 1e-3, `${key}: ${far}`);
      }
    });
  });
}

for (const [setting, value] of [
  ['attn_types', ['full', 'sparse']],
  ['sparse_attn', true],
] as const) {
  test(`sparse layers are refused by name: ${setting}`, async () => {
    const file = await TorchFile.open(join(FOLDER, 'full.pt'));
    try {
      const saved = file.value as Map<PickleValue, PickleValue>;
      const own = new Map(saved.get('hparams') as Map<PickleValue, PickleValue>);
      if (setting === 'sparse_attn') own.delete('attn_types');
      own.set(setting, value as PickleValue);
      const tensors = [...stateDict(saved.get('weights')!, 'full')].filter(
        ([key]) => !key.startsWith('vae.'),
      );
      assert.throws(
        () => dallePytorchModel(own, new Map(tensors), 'full'),
        (error) =>
          error instanceof DataError &&
          error.code === 'E_WEIGHTS_UNSUPPORTED' &&
          /sparse/.test(error.message),
      );
    } finally {
      await file.close();
    }
  });
}

describe('a setting taken for another would be noticed', () => {
  const mistakes: [name: string, change: Partial<DalleModelConfig>][] = [
    ['axial_row', { attention: ['row'] }],
    ['axial_row', { attention: ['full'] }],
    ['axial_col', { attention: ['axial-row'] }],
    ['conv_like', { attention: ['conv'] }],
    ['conv_like', { kernelSize: 3 }],
    ['rotary', { attention: ['full', 'column', 'axial-row', 'conv-like'] }],
    ['shift', { tokenShift: false }],
    ['stable', { stable: false }],
    ['everything', { stable: false }],
  ];
  for (const [name, change] of mistakes) {
    test(`${name}: ${JSON.stringify(change)}`, async () => {
      const { model, weights } = await convert(name);
      const far = differenceOfLogits(name, { ...model, ...change }, weights);
      assert.ok(far > (change.stable === false ? 1e-6 : 1e-2), `${far}`);
    });
  }
});
