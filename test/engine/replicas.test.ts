// Replicas on CPU devices of one process: variables of their own, collectives, sums bit for bit those of one device.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { allGather, allToAll } from '../../src/engine/distributed/collectives.ts';
import { copyToReplicas, countDifferences, eachReplica } from '../../src/engine/distributed/replicas.ts';
import { type SumAlgorithm, sumAllOverReplicas, sumOverReplicas } from '../../src/engine/distributed/sums.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { parseDevices } from '../../src/engine/session/devices.ts';
import { compileReplicated } from '../../src/engine/session/replicated.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, tf } from '../../src/engine/tfjs/tf.ts';
import { constant } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { ReplicatedState } from '../../src/train/distributed/replicas.ts';
import { initialize } from '../../src/train/loop/state.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { DataError, UsageError } from '../../src/util/errors.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';

const floats = (shape: readonly number[], value: (i: number) => number): HostTensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i)),
});
const numbersOf = (tensor: HostTensor): number[] => [...(tensor.data as Float32Array)];
const adam = {
  learningRate: { peak: 1, end: 0, warmup: 0, hold: 0 },
  beta1: 0.9,
  beta2: 0.9,
  epsilon: 1e-8,
  weightDecay: 0,
};
const cpus = (count: number) => parseDevices(Array.from({ length: count }, (_, i) => `cpu:${i}`).join());

const THREE = 3;
const runtime = new Runtime({ devices: cpus(THREE) });
after(() => runtime.close());

test('collectives give each replica what the others have', async () => {
  const exchange = compileReplicated(runtime, 'exchange', (own: readonly { x: Tensor }[]) => ({
    each: eachReplica((r) => ({ gathered: allGather(own[r]!.x), turned: allToAll(own[r]!.x) })),
    common: {},
  }));
  const { each } = await exchange(
    [0, 1, 2].map((r) => ({ x: floats([THREE, 1], (i) => 10 * r + i) })),
    {},
  );
  for (const [r, { gathered, turned }] of each.entries()) {
    assert.deepEqual(gathered.shape, [9, 1]);
    assert.deepEqual(numbersOf(gathered), [0, 1, 2, 10, 11, 12, 20, 21, 22]);
    assert.deepEqual(numbersOf(turned), [r, 10 + r, 20 + r]);
  }
});

test('bytes reach each replica as floats; a wrong number of inputs is an error', async () => {
  const double = compileReplicated(runtime, 'double', (own: readonly { bytes: Tensor }[]) => ({
    each: eachReplica((r) => ({ y: tf.mul(own[r]!.bytes, 2) })),
    common: {},
  }));
  const inputs = [1, 100, 255].map((byte) => ({
    bytes: { dtype: 'uint8', shape: [1], data: Uint8Array.of(byte) } as const,
  }));
  const { each } = await double(inputs, {});
  assert.deepEqual(
    each.map(({ y }) => numbersOf(y)),
    [[2], [200], [510]],
  );
  await assert.rejects(() => double(inputs.slice(1), {}), /3 replicas, and inputs for 2/);
});

test('variables are separate on each replica until they are copied', async () => {
  const variable = runtime.variable('separate', [2]);
  const set = compileReplicated(runtime, 'set', (own: readonly { x: Tensor }[]) => {
    eachReplica((r) => variable.assign(own[r]!.x));
    return { each: [], common: {} };
  });
  const read = compileReplicated(runtime, 'read', () => ({
    each: eachReplica(() => ({ x: variable.read() })),
    common: { differences: countDifferences([variable]) },
  }));
  const first = runtime.compile('read as ever', () => ({ x: variable.read() }));
  const copy = runtime.compile('copy', () => {
    copyToReplicas([variable]);
    return {};
  });
  const none = [{}, {}, {}];
  await set(
    [0, 1, 2].map((r) => ({ x: floats([2], () => (r === 0 ? Number.NaN : r)) })),
    {},
  );
  const apart = await read(none, {});
  assert.deepEqual(
    apart.each.map(({ x }) => numbersOf(x)),
    [
      [Number.NaN, Number.NaN],
      [1, 1],
      [2, 2],
    ],
  );
  assert.equal(apart.common.differences.data[0], 2);
  assert.deepEqual(numbersOf((await first({})).x), [Number.NaN, Number.NaN]);
  await copy({});
  const same = await read(none, {});
  assert.equal(same.common.differences.data[0], 0, 'NaN has the same bits');
  assert.deepEqual(numbersOf(same.each[2]!.x), [Number.NaN, Number.NaN]);
});

/** Three tensors a replica: one of a bucket of its own, two that share one; none divides by the replicas. */
const SHAPES = { embedding: [1030, 1025], weight: [7, 11], bias: [5] };

async function sums(on: Runtime, replicas: number, algorithm: SumAlgorithm) {
  const sum = compileReplicated(on, `sum by ${algorithm}`, (own: readonly Record<string, Tensor>[]) => ({
    each: eachReplica((r) =>
      Object.fromEntries(sumAllOverReplicas(new Map(Object.entries(own[r]!)), algorithm)),
    ),
    common: { scalar: eachReplica((r) => sumOverReplicas(tf.sum(own[r]!.bias as Tensor1D), algorithm))[0]! },
  }));
  const inputs = Array.from({ length: replicas }, (_, r) => {
    const random = new RandomStream('addends', r);
    return Object.fromEntries(
      Object.entries(SHAPES).map(([name, shape]) => [name, floats(shape, () => random.normal())]),
    );
  });
  return { inputs, ...(await sum(inputs, {})) };
}

/** As accumulation adds up: one after the other, rounded each time. */
const inTurn = (addends: readonly HostTensor[]): HostTensor =>
  floats(addends[0]!.shape, (i) =>
    addends.reduce((sum, { data }) => Math.fround(sum + (data[i] as number)), 0),
  );

const equal = (a: HostTensor, b: HostTensor): boolean =>
  Buffer.compare(
    Buffer.from((a.data as Float32Array).buffer),
    Buffer.from((b.data as Float32Array).buffer),
  ) === 0;

for (const replicas of [3, 11]) {
  test(`the sum in order of ${replicas} replicas is that of additions one after the other`, async () => {
    const on = replicas === THREE ? runtime : new Runtime({ devices: cpus(replicas) });
    const { inputs, each } = await sums(on, replicas, 'order');
    for (const name of Object.keys(SHAPES)) {
      const expected = inTurn(inputs.map((input) => input[name]!));
      for (const summed of each) assert.ok(equal(summed[name]!, expected), name);
    }
    if (on !== runtime) await on.close();
  });
}

test('the sum by the ring is the sum to rounding, the same at all replicas', async () => {
  const { inputs, each } = await sums(runtime, THREE, 'ring');
  for (const name of Object.keys(SHAPES)) {
    const exact = inTurn(inputs.map((input) => input[name]!)).data as Float32Array;
    const [first, second, third] = each.map((of) => of[name]!) as [HostTensor, HostTensor, HostTensor];
    const isNear = (value: number, i: number) =>
      Math.abs(value - exact[i]!) <= 1e-6 * Math.max(1, Math.abs(value));
    assert.ok((first.data as Float32Array).every(isNear), name);
    assert.ok(equal(second, first) && equal(third, first), name);
  }
});

test('with one replica nothing is exchanged', async () => {
  const alone = new Runtime();
  const { nodes } = alone
    .compile('alone', ({ x }: { x: Tensor }) => ({
      y: eachReplica(() => sumOverReplicas(allToAll(allGather(x)), 'order'))[0]!,
    }))
    .examine({ x: { dtype: 'float32', shape: [2] } });
  assert.deepEqual(
    nodes.map(({ type }) => type),
    ['Placeholder', 'Identity'],
  );
  await alone.close();
});

test('replicas that differ by a bit are an error before a checkpoint', async () => {
  const weights = new Weights(runtime, 'replicated', { w: constant([2], 1) });
  const optimizer = new Adam(runtime, 'replicated', weights.entries, adam);
  const state = { weights, optimizer, ema: undefined };
  await initialize(runtime, state, 0);
  const replicated = new ReplicatedState(runtime, state);
  await replicated.copy();
  await replicated.assertSame(1);
  const change = runtime.compile('change one replica', () => {
    eachReplica((r) => {
      if (r === 2) weights.variables[0]!.add(tf.tensor1d([0, 2 ** -23]));
    });
    return {};
  });
  await change({});
  await assert.rejects(
    () => replicated.assertSame(2),
    (error) =>
      error instanceof DataError &&
      error.code === 'E_DEVICE_WEIGHTS' &&
      error.message === 'the devices differ in 1 of 3 weights and moments after 2 updates',
  );
});

test('the NaN finder looks at each replica, and waits for no exchange', async () => {
  const weight = runtime.variable('finite', [1]);
  const step = compileReplicated(runtime, 'a step', (own: readonly { x: Tensor }[]) => {
    const logs = eachReplica((r) => tf.log(own[r]!.x));
    const sums = eachReplica((r) => sumOverReplicas(logs[r]!, 'order'));
    eachReplica((r) => weight.assign(sums[r]!));
    return { each: [], common: {} };
  });
  const inputs = (values: number[]) => values.map((value) => ({ x: floats([1], () => value) }));
  assert.match(
    (await step.firstNonFinite(inputs([1, 2, -1]), {}))!,
    /^the result of Log \(made by .*replicas\.test/,
  );
  assert.equal(await step.firstNonFinite(inputs([1, 2, 3]), {}), undefined);
});

test('lists of devices', () => {
  assert.equal(parseDevices(' ALL '), 'all');
  assert.deepEqual(parseDevices('0,2'), { kind: 'GPU', numbers: [0, 2] });
  assert.deepEqual(parseDevices('GPU:1, gpu:0'), { kind: 'GPU', numbers: [1, 0] });
  assert.deepEqual(parseDevices('cpu:0'), { kind: 'CPU', numbers: [0] });
  for (const wrong of ['', ',', '0,', '-1', '1.5', 'tpu:0', 'cpu:0,1', '0,0', 'cpu:64', 'cuda:0', 'all,0'])
    assert.throws(
      () => parseDevices(wrong),
      (error) => error instanceof UsageError && error.code === 'E_DEVICES' && error.option === 'devices',
      wrong,
    );
  delete process.env.CUDA_VISIBLE_DEVICES;
  assert.throws(
    () => new Runtime({ devices: parseDevices('0,1') }),
    /there is no GPU 0: TensorFlow sees none/,
  );
  process.env.CUDA_VISIBLE_DEVICES = '5';
  assert.throws(
    () => new Runtime({ devices: parseDevices('0,1') }),
    /there is no GPU 1: CUDA_VISIBLE_DEVICES shows 1/,
  );
});
