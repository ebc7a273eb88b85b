// Gradients with recomputed activations, dropout and loss scales, against the plain stack.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { DalleModelConfig } from '../../../../src/config/dalle-model.ts';
import { RECOMPUTES, type Recompute } from '../../../../src/config/fields.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../../../src/engine/tfjs/tf.ts';
import { dalleLoss } from '../../../../src/models/dalle/loss.ts';
import { dalleSpec } from '../../../../src/models/dalle/model.ts';
import type { DalleTraining } from '../../../../src/models/dalle/stack.ts';
import { flatten, tensorsOf, withTensors } from '../../../../src/nn/parameters.ts';
import { largestDifference, numbers, perturbed } from '../../../support/perturbed.ts';
import { config as every, image_BI, text_BT } from '../../../support/tiny-dalle-model.ts';

type How = Omit<DalleTraining, 'key'>;
const PLAIN: How = { recompute: 'light', dropout: { attention: 0, feedForward: 0 } };
const DROPPING: How = { recompute: 'light', dropout: { attention: 0.3, feedForward: 0.2 } };
const key = tf.tensor1d([5, 7], 'int32') as Tensor1D;

/** The loss and the gradient of every parameter, by name. */
function gradients(config: DalleModelConfig, how: How, seed = key): Map<string, number[]> {
  const p = perturbed(dalleSpec(config), 8);
  const names = flatten(dalleSpec(config)).map(([name]) => name);
  const { value, grads } = tf.valueAndGrads((...tensors: Tensor[]) => {
    const training = { ...how, key: seed };
    return dalleLoss(withTensors(p, tensors), text_BT, image_BI, config, { textWeight: 0.3, training }).loss;
  })(tensorsOf(p));
  return new Map([
    ['loss', numbers(value)],
    ...names.map((name, i): [string, number[]] => [name, numbers(grads[i]!)]),
  ]);
}

function assertSame(a: Map<string, number[]>, b: Map<string, number[]>, tolerance: number): void {
  assert.deepEqual([...a.keys()], [...b.keys()]);
  for (const [name, values] of a) {
    const far = largestDifference(values, b.get(name)!);
    assert.ok(far < tolerance, `${name} differs by ${far}`);
  }
}

describe('recomputed activations give the same gradients', () => {
  const models: Partial<DalleModelConfig>[] = [
    {},
    { sharedFeedForward: [0, 1], sharedAttention: [0, 1, 2, 3] },
    { tokenShift: true, rotary: true, gated: true, layerScale: true, sandwichNorm: true, stable: true },
    { reversible: true },
    { reversible: true, sharedFeedForward: [0], tokenShift: true, layerScale: true },
  ];
  for (const model of models) {
    test(JSON.stringify(model), () => {
      const config = { ...every, ...model };
      for (const how of [PLAIN, DROPPING]) {
        assertSame(gradients(config, { ...how, recompute: 'full' }), gradients(config, how), 1e-4);
      }
    });
  }
});

describe('dropout', () => {
  test('is the same for the same key, and another for another key', () => {
    const loss = (seed: Tensor1D) => gradients(every, DROPPING, seed).get('loss')![0]!;
    assert.equal(loss(key), loss(key));
    assert.notEqual(loss(key), loss(tf.tensor1d([5, 8], 'int32')));
  });

  for (const rates of [
    { attention: 0.3, feedForward: 0 },
    { attention: 0, feedForward: 0.3 },
  ]) {
    test(`changes the loss: ${JSON.stringify(rates)}`, () => {
      const loss = (dropout: typeof rates) =>
        gradients(every, { recompute: 'light', dropout }).get('loss')![0]!;
      assert.ok(Math.abs(loss(rates) - loss(PLAIN.dropout)) > 1e-3);
    });
  }
});

describe('the loss scale of a resblock', () => {
  const scales = [2, 64, 1, 1024];
  const scaled = gradients(every, { ...PLAIN, blockLossScales: scales.map((scale) => tf.scalar(scale)) });
  const plain = gradients(every, PLAIN);

  test('multiplies the gradients of its parameters and no others', () => {
    for (const [name, values] of plain) {
      const layer = /block_(\d)/.exec(name)?.[1];
      const factor = layer ? scales[Number(layer) - 1]! : 1;
      const far = largestDifference(
        scaled.get(name)!.map((value) => value / factor),
        values,
      );
      assert.ok(far < 1e-5, `${name} differs by ${far}`);
    }
  });

  test('makes only gradients of its resblock infinite when it overflows', () => {
    const overflowing = scales.map((_, layer) => tf.scalar(layer === 1 ? Number.POSITIVE_INFINITY : 1));
    const spoilt = gradients(every, { ...PLAIN, blockLossScales: overflowing });
    for (const [name, values] of spoilt) {
      if (!name.includes('block_2')) assert.ok(values.every(Number.isFinite), name);
    }
    const own = [...spoilt].filter(([name]) => name.includes('block_2'));
    assert.ok(own.some(([, values]) => !values.every(Number.isFinite)));
  });
});

describe('a compiled function', () => {
  const runtime = new Runtime();
  after(() => runtime.close());

  const host = (tensor: Tensor2D) => ({
    dtype: 'int32' as const,
    shape: tensor.shape,
    data: tensor.dataSync() as Int32Array,
  });

  async function compiledGradients(config: DalleModelConfig, recompute: Recompute) {
    const p = perturbed(dalleSpec(config), 8);
    const names = flatten(dalleSpec(config)).map(([name]) => name);
    const step = runtime.compile('gradients', ({ text, image }: Record<'text' | 'image', Tensor>) => {
      const { value, grads } = tf.valueAndGrads((...tensors: Tensor[]) => {
        const options = { textWeight: 0.3, training: { ...DROPPING, recompute, key } };
        return dalleLoss(withTensors(p, tensors), text as Tensor2D, image as Tensor2D, config, options).loss;
      })(tensorsOf(p));
      return { loss: value, ...Object.fromEntries(names.map((name, i) => [name, grads[i] as Tensor])) };
    });
    const results = await step({ text: host(text_BT), image: host(image_BI) });
    return new Map(Object.entries(results).map(([name, { data }]) => [name, Array.from(data, Number)]));
  }

  for (const gated of [false, true])
    test(`has the gradients of eager execution, and the same bits whatever is recomputed, gated: ${gated}`, async () => {
      const config = { ...every, gated, rotary: true, tokenShift: true, stable: true };
      const [none, ...others] = await Promise.all(RECOMPUTES.map((way) => compiledGradients(config, way)));
      assertSame(none!, gradients(config, DROPPING), 1e-4);
      for (const other of others) assert.deepEqual(other, none);
    });

  test('recomputes a reversible layer from its outputs, to rounding', async () => {
    const config = { ...every, reversible: true };
    const [none, light, full] = await Promise.all(RECOMPUTES.map((way) => compiledGradients(config, way)));
    assert.deepEqual(light, none);
    assertSame(full!, none!, 1e-4);
    assert.notDeepEqual(full, none);
  });
});
