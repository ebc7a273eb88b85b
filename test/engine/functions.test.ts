// Building of compiled functions: signatures, constants, names of results, refused bodies.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { OpTime } from '../../src/engine/session/op-times.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import { floats, integers } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const scalar = (value: number) => floats([], [value]);

describe('a compiled function', () => {
  test('is built once for each signature: again for a new shape or type', async () => {
    let builds = 0;
    const double = runtime.compile('double', ({ x }: { x: Tensor }) => {
      builds++;
      return { y: tf.mul(x, x.dtype === 'int32' ? tf.scalar(2, 'int32') : 2) };
    });
    const results = [];
    for (const x of [
      floats([2], [1, 2]),
      floats([2], [3, 4]),
      floats([1, 2], [5, 6]),
      integers([2], [7, 8]),
    ]) {
      const { y } = await double({ x });
      results.push([builds, y.dtype, [...y.shape], [...y.data]]);
    }
    assert.deepEqual(results, [
      [1, 'float32', [2], [2, 4]],
      [1, 'float32', [2], [6, 8]],
      [2, 'float32', [1, 2], [10, 12]],
      [3, 'int32', [2], [14, 16]],
    ]);
  });

  test('is built once for inputs in any order and for simultaneous calls', async () => {
    let builds = 0;
    const subtract = runtime.compile('subtract', ({ a, b }: { a: Tensor; b: Tensor }) => {
      builds++;
      return { difference: tf.sub(a, b) };
    });
    const [a, b] = [scalar(5), scalar(3)];
    const results = await Promise.all([subtract({ a, b }), subtract({ b, a }), subtract({ a: b, b: a })]);
    assert.deepEqual(
      results.map(({ difference }) => difference.data[0]),
      [2, 2, -2],
    );
    assert.equal(builds, 1);
  });

  test('refuses its 33rd signature, and still runs for the others', async () => {
    const sum = runtime.compile('sum of anything', ({ x }: { x: Tensor }) => ({ sum: tf.sum(x) }));
    for (let n = 1; n <= 32; n++) await sum({ x: floats([n], new Array(n).fill(1)) });
    await assert.rejects(sum({ x: floats([33], new Array(33).fill(1)) }), (error: Error) => {
      assert.match(error.message, /^sum of anything was built for 32 input signatures already/);
      assert.match(error.message, /x: float32\[33\]/);
      return true;
    });
    assert.equal((await sum({ x: floats([7], new Array(7).fill(1)) })).sum.data[0], 7);
  });

  test('can return inputs, constants and one tensor under two names', async () => {
    const give = runtime.compile('give', ({ x }: { x: Tensor }) => {
      const y = tf.add(x, 1);
      return { x, y, again: y, constant: tf.tensor1d([7, 8]) };
    });
    const results = await give({ x: scalar(1) });
    assert.deepEqual(
      Object.entries(results).map(([name, { data }]) => [name, ...data]),
      [
        ['x', 1],
        ['y', 2],
        ['again', 2],
        ['constant', 7, 8],
      ],
    );
  });

  test('has one node for constants of equal bits', async () => {
    const body = ({ x }: { x: Tensor }) => ({
      sum: tf.add(x, 2),
      product: tf.mul(x, 2),
      up: tf.div(x, tf.scalar(0)),
      down: tf.div(x, tf.scalar(-0)),
      count: tf.add(tf.cast(x, 'int32'), tf.scalar(2, 'int32')),
      row: tf.add(x, tf.tensor1d([2])),
    });
    const compiled = runtime.compile('constants', body);
    const { nodes } = compiled.examine({ x: { dtype: 'float32', shape: [] } });
    assert.equal(nodes.filter(({ type }) => type === 'Const').length, 5);
    const results = await compiled({ x: scalar(1) });
    assert.deepEqual(
      Object.values(results).map(({ data }) => data[0]),
      [3, 2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3, 3],
    );
  });

  test('has no node for a cast or reshape that changes nothing, and one for a reshape of reshapes', async () => {
    const body = ({ x }: { x: Tensor }) => {
      const same = tf.reshape(tf.cast(x, 'float32'), [-1, 3]);
      const flat = tf.reshape(tf.expandDims(tf.reshape(same, [3, 2]), 0), [6]);
      const column = tf.expandDims(tf.reshape(flat, [2, 3]), 1);
      return { same: tf.add(same, 1), flat: tf.add(flat, 1), column: tf.add(column, 1) };
    };
    const compiled = runtime.compile('views', body);
    const x = floats([2, 3], [0, 1, 2, 3, 4, 5]);
    const results = await compiled({ x });
    assert.deepEqual(
      Object.values(results).map(({ shape, data }) => [shape, [...data]]),
      [[2, 3], [6], [2, 1, 3]].map((shape) => [shape, [1, 2, 3, 4, 5, 6]]),
    );
    const times: OpTime[] = [];
    await compiled({ x }, times);
    const types = times.map(({ type }) => type);
    const count = (of: string): number => types.filter((type) => type === of).length;
    // `flat` is x in another shape; [2, 3] from it is x itself, of which `column` is another shape.
    assert.deepEqual([count('Cast'), count('Reshape'), count('ExpandDims')], [0, 1, 1]);
  });

  test('receives bytes as float32 from 0 to 255, and empty tensors', async () => {
    const body = ({ x }: { x: Tensor }) => ({ y: tf.mul(x, 2), sum: tf.sum(x) });
    const compiled = runtime.compile('bytes', body);
    const { y } = await compiled({ x: { dtype: 'uint8', shape: [3], data: Uint8Array.of(0, 128, 255) } });
    assert.deepEqual([y.dtype, ...y.data], ['float32', 0, 256, 510]);
    const { y: empty, sum } = await compiled({ x: floats([0, 4], []) });
    assert.deepEqual([empty.shape, empty.data.length, sum.data[0]], [[0, 4], 0, 0]);
  });

  test('leaves no tensors behind, neither by building nor by running', async () => {
    const { eager } = useTensorFlow().binding;
    const count = (): number[] => [eager.getNumOfTensors(), tf.memory().numTensors];
    const before = count();
    for (let i = 0; i < 3; i++) {
      const slope = runtime.compile(`slope ${i}`, ({ x }: { x: Tensor }) => {
        const loss = (y: Tensor): Tensor => tf.sum(tf.mul(tf.square(y), tf.tensor1d([1, 2, 3])));
        return { slope: tf.grad(loss)(x), constant: tf.scalar(i) };
      });
      for (let run = 0; run < 3; run++) await slope({ x: floats([3], [1, 2, 3]) });
      assert.deepEqual(count(), before);
    }
  });

  test('whose short runs block the calling thread lets the event loop turn between them', async () => {
    const f = runtime.compile('short', ({ x }: { x: Tensor }) => ({ y: tf.add(x, 1) }), {
      inOneThread: true,
    });
    const input = { x: floats([2], [1, 2]) };
    for (let run = 0; run < 5; run++) await f(input);
    let turns = 0;
    const turn = (): void => {
      turns++;
      pending = setImmediate(turn);
    };
    let pending = setImmediate(turn);
    for (let run = 0; run < 20; run++) assert.deepEqual((await f(input)).y.data, Float32Array.of(2, 3));
    clearImmediate(pending);
    assert.ok(turns > 10, `${turns} turns of the event loop`);
  });

  test('returns new arrays at every call', async () => {
    const next = runtime.compile('next', ({ x }: { x: Tensor }) => ({ y: tf.add(x, 1) }));
    const first = await next({ x: scalar(1) });
    await next({ x: scalar(10) });
    assert.equal(first.y.data[0], 2);
  });
});

describe('a tensor made outside of functions', () => {
  test('is a constant in each function that uses it, and can still be used outside', async () => {
    const outside = tf.tensor1d([1, 2, 3]);
    const scaled = [2, 3].map((by) =>
      runtime.compile(`times ${by}`, ({ x }: { x: Tensor }) => ({ y: tf.mul(outside, tf.mul(x, by)) })),
    );
    assert.deepEqual([...outside.mul(1).dataSync()], [1, 2, 3]);
    for (const by of [0, 1, 0]) {
      const { y } = await scaled[by]!({ x: scalar(10) });
      assert.deepEqual(
        [...y.data],
        [1, 2, 3].map((value) => value * 10 * (by + 2)),
      );
    }
    assert.deepEqual([...outside.add(1).dataSync()], [2, 3, 4]);
    outside.dispose();
    assert.deepEqual([...(await scaled[0]!({ x: scalar(1) })).y.data], [2, 4, 6]);
  });

  test('can be computed eagerly, and can be read while a function is built', async () => {
    const sum = tf.tensor1d([1, 2]).sum();
    const read = runtime.compile('read', ({ x }: { x: Tensor }) => ({
      y: tf.mul(x, sum.dataSync()[0]! + 1),
    }));
    assert.equal((await read({ x: scalar(2) })).y.data[0], 8);
  });
});

describe('the runtime', () => {
  test('refuses a tensor of a function outside of it', async () => {
    let leaked: Tensor | undefined;
    const leaking = runtime.compile('leaking', ({ x }: { x: Tensor }) => {
      leaked = tf.keep(tf.add(x, 1));
      return { y: leaked };
    });
    await leaking({ x: scalar(1) });
    const outside = /a tensor of a compiled function was used outside of it by .*functions\.test\.ts:\d+:\d+/;
    assert.throws(() => tf.add(leaked!, 1), outside);
    assert.throws(() => leaked!.dataSync(), outside);
    const another = runtime.compile('another', ({ x }: { x: Tensor }) => ({ y: tf.add(x, leaked!) }));
    await assert.rejects(
      another({ x: scalar(1) }),
      /a tensor of another compiled function, or one already disposed, was used by .*functions\.test\.ts:\d+:\d+/,
    );
    assert.deepEqual([...tf.scalar(1).add(1).dataSync()], [2]);
  });

  test('refuses a call of a function while another one is built', async () => {
    const inner = runtime.compile('inner', ({ x }: { x: Tensor }) => ({ y: x }));
    const outer = runtime.compile('outer', ({ x }: { x: Tensor }) => {
      void inner({ x: scalar(1) });
      return { y: x };
    });
    await assert.rejects(
      outer({ x: scalar(1) }),
      /^Error: inner was called while a compiled function is being built$/,
    );
    assert.equal((await inner({ x: scalar(3) })).y.data[0], 3);
  });

  test('refuses an input whose data does not fill its shape', async () => {
    const same = runtime.compile('same', ({ x }: { x: Tensor }) => ({ x }));
    for (const count of [5, 7]) {
      await assert.rejects(
        same({ x: floats([2, 3], new Array(count).fill(0)) }),
        new RegExp(`same: input x is float32\\[2, 3\\], 6 numbers, but has ${count}`),
      );
    }
  });

  test('refuses a call after it was closed', async () => {
    const closed = new Runtime();
    const late = closed.compile('late', ({ x }: { x: Tensor }) => ({ x }));
    await late({ x: scalar(1) });
    await closed.close();
    await closed.close();
    await assert.rejects(late({ x: scalar(1) }), /^Error: late was called after the runtime was closed$/);
  });

  test('finishes the runs in flight when it closes', async () => {
    const closing = new Runtime();
    const busy = closing.compile('busy', ({ x }: { x: Tensor }) => ({ y: tf.matMul(x, x) }));
    const x = floats([256, 256], new Float32Array(256 * 256).fill(1));
    const runs = Array.from({ length: 8 }, () => busy({ x }));
    await closing.close();
    for (const { y } of await Promise.all(runs)) assert.equal(y.data[0], 256);
  });

  test('and eager ops stay usable after a body that throws', async () => {
    const failing = runtime.compile('failing', ({ x }: { x: Tensor }) => {
      tf.add(x, 1);
      throw new Error('of the model');
    });
    await assert.rejects(failing({ x: scalar(1) }), /^Error: of the model$/);
    assert.deepEqual([...tf.scalar(1).add(1).dataSync()], [2]);
    const fine = runtime.compile('fine', ({ x }: { x: Tensor }) => ({ y: tf.add(x, 1) }));
    assert.equal((await fine({ x: scalar(1) })).y.data[0], 2);
  });
});
