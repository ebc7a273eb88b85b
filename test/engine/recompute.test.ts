// Recomputation: what is computed again, and peak memory in a graph that TensorFlow optimizes.

import './counting-allocator.ts';
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { withGradient } from '../../src/engine/ops/gradient.ts';
import { checkpointed, recomputed } from '../../src/engine/ops/recompute.ts';
import type { OpTime } from '../../src/engine/session/op-times.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor1D, tf } from '../../src/engine/tfjs/tf.ts';
import { dropout } from '../../src/nn/dropout.ts';
import { gelu } from '../../src/nn/functional/gelu.ts';
import { assertNear, eager, integers, normals, onHost, runRecorded } from './compare.ts';

const runtime = new Runtime();
after(() => runtime.close());

const MEGABYTE = 2 ** 20;
/** Without it, the number of ops that run early, and so the peak memory, would vary. */
const IN_ORDER = { inOneThread: true };
/** 4 MB of float32. */
const SIDE = 1024;
const DEPTH = 16;

/** exp(−x²), which counts its computations. */
function bell(x: Tensor, count: () => void, keeps: boolean): Tensor {
  return withGradient((save, input) => {
    const compute = (): Tensor => {
      count();
      return (input as Tensor).square().neg().exp();
    };
    const value = keeps ? checkpointed(compute) : compute();
    save([input as Tensor, value]);
    return { value, gradFunc: (dy, [saved, y]) => [dy.mul(saved!).mul(y!).mul(-2)] };
  }, x);
}

describe('recomputed', () => {
  const x = normals([3, 4], 'x');
  const weight = normals([4, 2], 'weight');
  const slopes = (f: (x: Tensor, weight: Tensor) => Tensor) => (input: Tensor, w: Tensor) =>
    tf.grads((a, b) => tf.sum(tf.square(f(a!, b!))))([input, w]);

  for (const keeps of [false, true]) {
    test(`${keeps ? 'a checkpointed value is computed once' : 'every value is computed twice'}, eagerly, recorded and nested`, async () => {
      let made = 0;
      const count = (): void => void made++;
      const inner = (a: Tensor, [w]: readonly Tensor[]): Tensor =>
        tf.matMul(bell(a, count, keeps), w as Tensor);
      const plain = slopes((a, w) =>
        tf.matMul(
          bell(a, () => {}, false),
          w,
        ),
      );
      const once = slopes((a, w) => recomputed(inner, a, [w], []));
      const twice = slopes((a, w) =>
        recomputed((b, [v]) => recomputed(inner, b, [v as Tensor], []), a, [w], []),
      );
      const expected = plain(eager(x), eager(weight)).map(onHost);
      for (const [f, times] of [
        [once, keeps ? 1 : 2],
        [twice, keeps ? 2 : 3],
      ] as const) {
        for (const run of [
          async () => f(eager(x), eager(weight)).map(onHost),
          () => runRecorded(runtime, `recomputed ${keeps} ${times}`, f as never, [x, weight]),
        ]) {
          made = 0;
          const results = await run();
          assert.equal(made, times);
          for (const [i, result] of results.entries()) assertNear(result, expected[i]!, 1e-5);
        }
      }
    });
  }
});

describe('peak memory of a run', () => {
  /** Peak megabytes of a chain of `layer`s and its gradient, above the minimum during the run. */
  async function megabytes(
    name: string,
    layer: (x: Tensor, key: Tensor1D, at: number) => Tensor,
  ): Promise<number> {
    const f = runtime.compile(
      name,
      ({ x, key }: Record<'x' | 'key', Tensor>) => {
        const chain = (input: Tensor): Tensor =>
          Array.from({ length: DEPTH }).reduce((h: Tensor, _, at) => layer(h, key as Tensor1D, at), input);
        return { slope: tf.sum(tf.grad((input) => tf.sum(chain(input)))(x)) };
      },
      IN_ORDER,
    );
    const inputs = { x: normals([SIDE, SIDE], 'memory'), key: integers([2], [3, 4]) };
    const times: OpTime[] = [];
    await f(inputs);
    await f(inputs, times);
    const inUse = times.map(({ bytesInUse }) => bytesInUse).filter((bytes) => bytes > 0);
    assert.ok(inUse.length > DEPTH, 'the allocator counts');
    return (Math.max(...inUse) - Math.min(...inUse)) / MEGABYTE;
  }

  test('does not contain recomputed activations of all layers', async () => {
    const three = (x: Tensor): Tensor => gelu(gelu(gelu(x)));
    const whole = await megabytes('kept', three);
    const again = await megabytes('again', (x) => recomputed(three, x, [], []));
    // A layer saves its input instead of the activations of three functions.
    assert.ok(whole > 4 * DEPTH * 3, `${whole} MB`);
    assert.ok(again < 4 * DEPTH + 4 * 12, `${again} MB`);
  });

  test('does not contain dropout masks, with and without recomputation', async () => {
    const drop = (x: Tensor, key: Tensor1D, at: number): Tensor =>
      dropout(x, 0.25, tf.add(key, tf.scalar(at, 'int32')) as Tensor1D);
    const alone = await megabytes('dropout', drop);
    // Measured: 30 MB; 68 MB if the masks were saved.
    assert.ok(alone < 4 * 12, `${alone} MB`);
    const within = await megabytes('dropout again', (x, key, at) =>
      recomputed((y) => gelu(drop(gelu(y), key, at)), x, [], []),
    );
    assert.ok(within < 4 * DEPTH + 4 * 12, `${within} MB`);
  });
});
