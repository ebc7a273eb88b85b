// Slices of tensors on three replicas: what is summed into them, what is gathered of them, and its gradient.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { eachReplica } from '../../src/engine/distributed/replicas.ts';
import { gatherSlices, ownSlice, sumToSlices, wholeOf } from '../../src/engine/distributed/slices.ts';
import { sumAllOverReplicas } from '../../src/engine/distributed/sums.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { parseDevices } from '../../src/engine/session/devices.ts';
import { compileReplicated } from '../../src/engine/session/replicated.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';

const REPLICAS = 3;
const runtime = new Runtime({ devices: parseDevices('cpu:0,cpu:1,cpu:2') });
after(() => runtime.close());

/** One of a bucket of its own, two that share one, none divisible; one smaller than the replicas are many. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  embedding: [1030, 1025],
  weight: [7, 11],
  scale: [],
};
const names = Object.keys(SHAPES);
const shapes = new Map(Object.entries(SHAPES));
const inputs = Array.from({ length: REPLICAS }, (_, r) => {
  const random = new RandomStream('slices', r);
  return Object.fromEntries(
    Object.entries(SHAPES).map(([name, shape]): [string, HostTensor] => [
      name,
      {
        dtype: 'float32',
        shape,
        data: Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
      },
    ]),
  );
});

test('sums by slices, gathered, have the bits of the whole sums; by the ring they are near', async () => {
  const sum = compileReplicated(runtime, 'sum', (own: readonly Record<string, Tensor>[]) => ({
    each: eachReplica((r) => {
      const tensors = new Map(Object.entries(own[r]!));
      const all = (suffix: string, values: ReadonlyMap<string, Tensor>) =>
        [...values].map(([name, value]) => [`${name} ${suffix}`, value] as const);
      return Object.fromEntries([
        ...all('whole', sumAllOverReplicas(tensors, 'order')),
        ...all('in order', gatherSlices(sumToSlices(tensors, 'order'), shapes)),
        ...all('by ring', gatherSlices(sumToSlices(tensors, 'ring'), shapes)),
      ]);
    }),
    common: {},
  }));
  for (const results of (await sum(inputs, {})).each) {
    for (const name of names) {
      const [whole, inOrder, ring] = ['whole', 'in order', 'by ring'].map(
        (how) => results[`${name} ${how}`]!,
      );
      assert.deepEqual(inOrder, whole, name);
      for (const [i, value] of (ring!.data as Float32Array).entries())
        assert.ok(Math.abs(value - (whole!.data[i] as number)) < 1e-5, `${name} ${value}`);
    }
  }
});

test('the gradient of gathered tensors goes to the slices, summed over the replicas', async () => {
  const differentiate = compileReplicated(runtime, 'gather', (own: readonly Record<string, Tensor>[]) => ({
    each: eachReplica((r) => {
      const factors = names.map((name) => own[r]![name] as Tensor);
      const slices = names.map((name) => ownSlice(own[0]![name] as Tensor));
      // Σ x · factor, whose gradient is the factor of this replica.
      const { grads } = tf.valueAndGrads((...kept: Tensor[]) => {
        const whole = wholeOf(kept, [...shapes.values()], { awaited: factors[0]! });
        return tf.addN(whole.map((x, i) => tf.sum(tf.mul(x, factors[i]!)))) as never;
      })(slices);
      const expected = sumAllOverReplicas(new Map(names.map((name, i) => [name, factors[i]!])), 'order');
      return Object.fromEntries(
        names.flatMap((name, i) => [
          [name, grads[i] as Tensor],
          [`${name} expected`, ownSlice(expected.get(name)!)],
        ]),
      );
    }),
    common: {},
  }));
  for (const results of (await differentiate(inputs, {})).each)
    for (const name of names) assert.deepEqual(results[name], results[`${name} expected`], name);
});
