import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Pointer } from '../../src/engine/native/capi.ts';
import { PageTensor } from '../../src/engine/native/page-tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import type { Variable } from '../../src/engine/tfjs/variable.ts';
import { floats, integers } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const setTo = async (variable: Variable, values: ArrayLike<number>): Promise<void> => {
  const set = runtime.compile(`set ${variable.name}`, ({ value }: { value: Tensor }) => {
    variable.assign(value);
    return {};
  });
  await set({ value: floats(variable.shape, values) });
};
const stored = async (variable: Variable): Promise<number[]> => {
  const get = runtime.compile(`get ${variable.name}`, () => ({ value: variable.read() }));
  return Array.from((await get({})).value.data, Number);
};

describe('a variable', () => {
  test('reads as the value at the start of the run, also after updates', async () => {
    const variable = runtime.variable('start of run', [2]);
    await setTo(variable, [1, 2]);
    const step = runtime.compile('double', ({ factor }: { factor: Tensor }) => {
      const before = variable.read();
      variable.assign(before.mul(factor));
      return { before, after: variable.read().mul(1) };
    });
    for (let run = 0; run < 20; run++) {
      const { before, after: later } = await step({ factor: floats([], [2]) });
      assert.deepEqual([...before.data], [2 ** run, 2 ** (run + 1)]);
      assert.deepEqual([...later.data], [2 ** run, 2 ** (run + 1)]);
    }
    assert.deepEqual(await stored(variable), [2 ** 20, 2 ** 21]);
  });

  test('keeps a tensor in pages that is fed once, of which small ones and other systems than Linux have none', async (t) => {
    const shape = [3, 100_001];
    assert.equal(PageTensor.allocate('float32', [10]), undefined);
    const tensor = PageTensor.allocate('float32', shape);
    if (!tensor) return t.skip('no such pages here');
    for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = i;
    const variable = runtime.variable('in pages', shape);
    const set = runtime.compile('set in pages', ({ value }: { value: Tensor }) => {
      variable.assign(value);
      return {};
    });
    await set({ value: tensor });
    assert.throws(() => tensor.data, /belongs to TensorFlow/);
    await assert.rejects(set({ value: tensor }));
    assert.deepEqual(
      await stored(variable),
      Array.from({ length: 300_003 }, (_, i) => i),
    );
    // Its pages are given back: another value takes their place.
    await setTo(variable, new Array(300_003).fill(1));
    assert.equal((await stored(variable)).at(-1), 1);
  });

  test('is updated after it is read, also by an update that does not depend on the read', async () => {
    const size = 1 << 18;
    const variable = runtime.variable('unrelated update', [size]);
    await setTo(variable, new Array(size).fill(0));
    const step = runtime.compile('overwrite', ({ value }: { value: Tensor }) => {
      const slow = variable.read().sin().cos().exp().log().sum();
      variable.assign(tf.fill([size], 1).mul(value));
      return { slow };
    });
    for (let run = 1; run <= 10; run++) {
      const { slow } = await step({ value: floats([], [run]) });
      const expected = size * Math.cos(Math.sin(run - 1));
      assert.ok(Math.abs(Number(slow.data[0]) - expected) < 1e-3 * expected, `${slow.data[0]}, run ${run}`);
    }
  });

  test('gets several updates in the order of their calls', async () => {
    const variable = runtime.variable('order', [1]);
    await setTo(variable, [0]);
    const step = runtime.compile('thrice', ({ value }: { value: Tensor }) => {
      variable.assign(value);
      variable.subtract(tf.ones([1]));
      const last = variable.update('AssignAddVariableOp', [tf.fill([1], 10)], {
        attributes: [{ name: 'dtype', type: 4, value: 1 }],
      });
      return { value: variable.readAfter(last) };
    });
    for (let run = 0; run < 20; run++) {
      const { value } = await step({ value: floats([1], [run]) });
      assert.deepEqual([...value.data], [run + 9]);
    }
  });

  test('can be read between two updates of a run', async () => {
    const variable = runtime.variable('between', [1]);
    await setTo(variable, [5]);
    const step = runtime.compile('between two', ({ one }: { one: Tensor }) => {
      const start = variable.read();
      const first = variable.subtract(one);
      const middle = variable.readAfter(first);
      const second = variable.subtract(one.mul(10));
      return { start, middle, end: variable.readAfter(second) };
    });
    for (const begin of [5, -6, -17]) {
      const { start, middle, end } = await step({ one: floats([1], [1]) });
      assert.deepEqual(
        [start, middle, end].map(({ data }) => data[0]),
        [begin, begin - 1, begin - 11],
      );
    }
  });

  test('cannot be read for the first time after its update', async () => {
    const variable = runtime.variable('read late', [1]);
    const late = runtime.compile('late', ({ value }: { value: Tensor }) => {
      variable.assign(value);
      return { value: variable.read() };
    });
    await assert.rejects(
      late({ value: floats([1], [1]) }),
      /variable read late is read after its update: read it before, or use readAfter/,
    );
  });

  test('that is a second resource of an update is updated after it is read', async () => {
    const [weight, moment, second] = ['weight', 'moment', 'second'].map((name) =>
      runtime.variable(name, [1]),
    );
    for (const variable of [weight, moment, second]) await setTo(variable!, [1]);
    const step = runtime.compile('adam', ({ gradient }: { gradient: Tensor }) => {
      const before = moment!.read();
      const hyper = [0, 0, 0.1, 0, 0, 1e-8].map((value) => tf.scalar(value)) as Scalar[];
      const update: Pointer = weight!.update('ResourceApplyAdam', [...hyper, gradient], {
        resources: [moment!, second!],
        attributes: [{ name: 'T', type: 4, value: 1 }],
      });
      return { before, after: moment!.readAfter(update) };
    });
    let expected = 1;
    for (let run = 2; run < 20; run++) {
      const { before, after: later } = await step({ gradient: floats([1], [run]) });
      assert.deepEqual([before.data[0], later.data[0]], [expected, run]); // β₁ = 0
      expected = run;
    }
  });

  test('is shared by all functions and keeps its value between runs', async () => {
    const variable = runtime.variable('counter', [], 'int32');
    const start = runtime.compile('start', ({ value }: { value: Tensor }) => {
      variable.assign(value);
      return {};
    });
    const count = runtime.compile('count', () => {
      const next = variable.read().add(tf.scalar(1, 'int32'));
      variable.assign(next);
      return { next };
    });
    await start({ value: integers([], [40]) });
    await count({});
    const { next } = await count({});
    assert.deepEqual([next.dtype, next.shape, next.data[0]], ['int32', [], 42]);
  });

  test('can have a slice written in place', async () => {
    const variable = runtime.variable('rows', [3, 2]);
    await setTo(variable, [0, 1, 2, 3, 4, 5]);
    const write = runtime.compile('write', ({ row, value }: { row: Tensor; value: Tensor }) => {
      const total = variable.read().sum();
      const begin = tf.concat([row, tf.zeros([1], 'int32')]);
      const end = tf.concat([row.add(tf.scalar(1, 'int32')), tf.fill([1], 2, 'int32')]);
      variable.writeSlice(begin, end, value, total);
      return { total };
    });
    const { total } = await write({ row: integers([1], [1]), value: floats([1, 2], [20, 30]) });
    assert.equal(total.data[0], 15);
    assert.deepEqual(await stored(variable), [0, 1, 20, 30, 4, 5]);
    await write({ row: integers([1], [2]), value: floats([1, 2], [40, 50]) });
    assert.deepEqual(await stored(variable), [0, 1, 20, 30, 40, 50]);
  });

  test('can have rows written in place, which returns the whole variable', async () => {
    const variable = runtime.variable('written rows', [4, 2]);
    await setTo(variable, [0, 1, 2, 3, 4, 5, 6, 7]);
    const write = runtime.compile(
      'write rows',
      ({ rows, values }: Record<'rows' | 'values', Tensor>) => ({
        whole: variable.writeRows(rows, values),
      }),
      { inOneThread: true },
    );
    const { whole } = await write({ rows: integers([2], [3, 1]), values: floats([2, 2], [60, 70, 20, 30]) });
    assert.deepEqual([...whole.data], [0, 1, 20, 30, 4, 5, 60, 70]);
    await write({ rows: integers([2], [0, 1]), values: floats([2, 2], [-1, -2, -3, -4]) });
    assert.deepEqual(await stored(variable), [-1, -2, -3, -4, 4, 5, 60, 70]);
    const after = runtime.compile('read, then write rows', ({ rows, values }: Record<string, Tensor>) => {
      variable.read();
      return { whole: variable.writeRows(rows as Tensor, values as Tensor) };
    });
    await assert.rejects(
      after({ rows: integers([1], [0]), values: floats([1, 2], [1, 2]) }),
      /written rows is read or updated before its rows are written/,
    );
  });

  test('has no value before one is assigned', async () => {
    const variable = runtime.variable('unset', [1]);
    await assert.rejects(stored(variable), /get unset: .*unset/s);
  });

  test('has a unique name', () => {
    runtime.variable('name', [1]);
    assert.throws(() => runtime.variable('name', [2]), /variable name is declared twice/);
  });

  test('can only be read while a function is being built', () => {
    const variable = runtime.variable('outside', [1]);
    assert.throws(() => variable.read(), /only be used while a function is being built/);
  });

  test('belongs to one runtime', async () => {
    const other = new Runtime();
    try {
      const mine = runtime.variable('same name', [1]);
      const theirs = other.variable('same name', [1]);
      await setTo(mine, [1]);
      const set = other.compile('set', () => {
        theirs.assign(tf.fill([1], 2));
        return {};
      });
      await set({});
      assert.deepEqual(await stored(mine), [1]);
    } finally {
      await other.close();
    }
  });
});

describe('simultaneous runs', () => {
  test('of one function do not mix inputs', async () => {
    const square = runtime.compile('square', ({ x }: { x: Tensor }) => ({ y: tf.matMul(x, x).sum() }));
    const results = await Promise.all(
      Array.from({ length: 16 }, (_, i) => square({ x: floats([64, 64], new Array(4096).fill(i)) })),
    );
    assert.deepEqual(
      results.map(({ y }) => y.data[0]),
      Array.from({ length: 16 }, (_, i) => i * i * 64 ** 3),
    );
  });

  test('of two functions all update the variable that they share', async () => {
    const variable = runtime.variable('sum', [1000]);
    await setTo(variable, new Array(1000).fill(0));
    const subtracting = [1, 2].map((share) =>
      runtime.compile(`subtract ${share}`, ({ one }: { one: Tensor }) => {
        variable.subtract(tf.fill([1000], share).mul(one));
        return {};
      }),
    );
    const one = floats([], [1]);
    await Promise.all(Array.from({ length: 40 }, (_, i) => subtracting[i % 2]!({ one })));
    assert.deepEqual(await stored(variable), new Array(1000).fill(-60));
  });
});
