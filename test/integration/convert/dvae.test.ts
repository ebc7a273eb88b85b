import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { discreteVae } from '../../../src/convert/dvae/weights.ts';
import { weightSource } from '../../../src/convert/rules.ts';
import { TorchStorage } from '../../../src/convert/torch/storage.ts';
import { TorchTensor } from '../../../src/convert/torch/tensor.ts';
import { DataError } from '../../../src/util/errors.ts';

/** A tensor of the numbers 0, 1, 2, … */
function tensor(...shape: number[]): TorchTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const storage = new TorchStorage(
    '0',
    'float32',
    count,
    async () => Float32Array.from({ length: count }, (_, i) => i).buffer,
  );
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return new TorchTensor(storage, 'float32', 0, shape, strides);
}

/** The smallest DiscreteVAE: one layer, no resblocks. */
const weights = () =>
  new Map([
    ['codebook.weight', tensor(5, 3)],
    ['encoder.0.0.weight', tensor(2, 3, 4, 4)],
    ['encoder.0.0.bias', tensor(2)],
    ['encoder.1.weight', tensor(5, 2, 1, 1)],
    ['encoder.1.bias', tensor(5)],
    ['decoder.0.0.weight', tensor(3, 2, 4, 4)],
    ['decoder.0.0.bias', tensor(2)],
    ['decoder.1.weight', tensor(3, 2, 1, 1)],
    ['decoder.1.bias', tensor(3)],
  ]);
const hparams = (more: object = {}) =>
  new Map<string, never>(
    Object.entries({
      image_size: 8,
      num_tokens: 5,
      codebook_dim: 3,
      num_layers: 1,
      hidden_dim: 2,
      ...more,
    }) as [string, never][],
  );

describe('conversion of a DiscreteVAE of DALLE-pytorch', () => {
  test('tensors get our names and our order of axes', async () => {
    const { contents } = discreteVae(hparams(), weights(), 'vae.pt');
    const model = new Map(contents.model);
    assert.deepEqual(model.get('encoder.layers.layer_1.weight')?.shape, [4, 4, 3, 2]);
    assert.deepEqual(model.get('decoder.layers.layer_1.weight')?.shape, [4, 4, 2, 3]);
    assert.deepEqual(model.get('codebook')?.shape, [5, 3]);
    const kernel = model.get('encoder.layers.layer_1.weight')!;
    const data = await (kernel.data as () => Promise<Float32Array>)();
    // Height 1, width 2, input 2, output 1.
    assert.equal(data[((1 * 4 + 2) * 3 + 2) * 2 + 1], ((1 * 3 + 2) * 4 + 1) * 4 + 2);
  });

  const assertError = (run: () => unknown, code: string, detail: RegExp): void => {
    assert.throws(run, (error) => {
      assert.ok(error instanceof DataError && error.where === 'vae.pt' && error.fix);
      assert.equal(error.code, code);
      assert.match(error.message, detail);
      return true;
    });
  };

  test('images with an alpha channel are an error', () => {
    assertError(
      () => discreteVae(hparams({ channels: 4 }), weights(), 'vae.pt'),
      'E_WEIGHTS_UNSUPPORTED',
      /4 channels/,
    );
  });

  test('settings that no model can have are an error', () => {
    assertError(
      () => discreteVae(hparams({ num_tokens: 'many' }), weights(), 'vae.pt'),
      'E_WEIGHTS_UNSUPPORTED',
      /vocabulary/,
    );
    assertError(
      () => discreteVae(hparams({ image_size: 7 }), weights(), 'vae.pt'),
      'E_WEIGHTS_UNSUPPORTED',
      /imageSize .*multiple of 2/,
    );
  });

  test('weights of other settings are an error that names the tensors', () => {
    assertError(
      () => discreteVae(hparams({ num_layers: 2 }), weights(), 'vae.pt'),
      'E_CHECKPOINT_MISMATCH',
      /missing: .*encoder\.layers\.layer_2/,
    );
    assertError(
      () => discreteVae(hparams({ num_tokens: 6 }), weights(), 'vae.pt'),
      'E_CHECKPOINT_MISMATCH',
      /codebook is \[5,3\].* \[6,3\]/,
    );
  });

  test('weights of integers are an error', () => {
    const storage = new TorchStorage('0', 'int64', 1, async () => new ArrayBuffer(8));
    assertError(
      () => weightSource('x', [new TorchTensor(storage, 'int64', 0, [1], [1])], 'vae.pt'),
      'E_WEIGHTS_UNSUPPORTED',
      /\bx\b.* int64/,
    );
  });
});
