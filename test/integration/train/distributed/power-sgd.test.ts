// PowerSGD over real workers against the algorithm in plain numbers, in doubles and with Gram–Schmidt.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { writeCheckpoint } from '../../../../src/checkpoint/write.ts';
import type { Cluster } from '../../../../src/cluster/cluster.ts';
import { eachReplica } from '../../../../src/engine/distributed/replicas.ts';
import { sumAllOverReplicas } from '../../../../src/engine/distributed/sums.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import type { Tensor } from '../../../../src/engine/tfjs/tf.ts';
import { constant, normal } from '../../../../src/nn/parameters.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { Residuals } from '../../../../src/train/distributed/error-feedback.ts';
import { PowerSgd } from '../../../../src/train/distributed/power-sgd.ts';
import { createLogger } from '../../../../src/util/logger.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { runAllWorkers, workerRuntime } from '../../../support/cluster.ts';

const RANK = 2;
const SPEC = {
  matrix: normal([14, 9], 1),
  kernel: normal([2, 6, 11], 1),
  small: normal([3, 4], 1),
  bias: constant([9], 0),
};
type Name = keyof typeof SPEC;
const NAMES = Object.keys(SPEC) as Name[];
const COMPRESSED: Record<'matrix' | 'kernel', readonly [n: number, m: number]> = {
  matrix: [14, 9],
  kernel: [12, 11],
};
const isCompressed = (name: Name): name is keyof typeof COMPRESSED => name in COMPRESSED;
type Arrays = Record<Name, number[]>;

const runtimes: Runtime[] = [];
const root = mkdtempSync(join(tmpdir(), 'mm-power-sgd-'));
after(async () => {
  for (const runtime of runtimes) await runtime.close();
  rmSync(root, { recursive: true });
});

const sizeOf = (name: Name): number => SPEC[name].shape.reduce((a, b) => a * b, 1);

/** Gradients that resemble each other from step to step, some far larger than others. */
function gradientsOf(rank: number, step: number): Arrays {
  const random = new RandomStream('power', rank, step);
  const common = new RandomStream('power');
  return Object.fromEntries(
    NAMES.map((name) => [
      name,
      Array.from({ length: sizeOf(name) }, () => Math.fround(common.normal() + 0.3 * random.normal())),
    ]),
  ) as Arrays;
}

/** A worker's exchange, and what it holds. */
async function setUp(cluster: Cluster) {
  const runtime = await workerRuntime(cluster);
  runtimes.push(runtime);
  const weights = new Weights(runtime, 'model', SPEC);
  const compression = new PowerSgd(runtime, 'model', weights.entries, RANK);
  await compression.factors.initialize(0);
  await compression.residuals.load(compression.residuals.zeros());
  const sum = runtime.compile('sum', (inputs: Record<string, Tensor>) => {
    const [applied] = compression.sum([new Map(NAMES.map((name) => [name, inputs[name]!]))], (each) =>
      eachReplica((r) => sumAllOverReplicas(each[r]!, 'order')),
    );
    return Object.fromEntries(applied!);
  });
  const step = async (gradients: Arrays): Promise<Arrays> => {
    const results = await sum(
      Object.fromEntries(
        NAMES.map((name) => [
          name,
          { dtype: 'float32', shape: SPEC[name].shape, data: Float32Array.from(gradients[name]) },
        ]),
      ),
    );
    return Object.fromEntries(
      NAMES.map((name) => [name, [...(results[name]!.data as Float32Array)]]),
    ) as Arrays;
  };
  return { step, compression };
}

type Matrix = number[][];
const columns = (flat: ArrayLike<number>, n: number, m: number): Matrix =>
  Array.from({ length: n }, (_, i) => Array.from({ length: m }, (_, j) => flat[i * m + j]!));
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)));
const transposed = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const combined = (a: Matrix, b: Matrix, sign: number): Matrix =>
  a.map((row, i) => row.map((x, j) => x + sign * b[i]![j]!));
const sumOf = (all: readonly Matrix[]): Matrix => all.reduce((a, b) => combined(a, b, 1));

function gramSchmidt(p: Matrix): Matrix {
  const done: number[][] = [];
  for (const column of transposed(p)) {
    let rest = column;
    for (const other of done) {
      const along = rest.reduce((sum, x, i) => sum + x * other[i]!, 0);
      rest = rest.map((x, i) => x - along * other[i]!);
    }
    const norm = Math.hypot(...rest);
    done.push(rest.map((x) => x / norm));
  }
  return transposed(done);
}

/** One parameter's compression at all workers. */
class SlowPowerSgd {
  #factor: Matrix;
  residuals: Matrix[];

  constructor(factor: Matrix, residuals: Matrix[]) {
    this.#factor = factor;
    this.residuals = residuals;
  }

  step(gradients: readonly Matrix[]): Matrix {
    const matrices = gradients.map((gradient, worker) => combined(gradient, this.residuals[worker]!, 1));
    const basis = gramSchmidt(sumOf(matrices.map((matrix) => times(matrix, this.#factor))));
    const factors = matrices.map((matrix) => times(transposed(matrix), basis));
    this.residuals = matrices.map((matrix, worker) =>
      combined(matrix, times(basis, transposed(factors[worker]!)), -1),
    );
    this.#factor = sumOf(factors);
    return times(basis, transposed(this.#factor));
  }
}

function assertNear(
  actual: readonly number[],
  expected: readonly number[],
  what: string,
  within = 1e-4,
): void {
  const norm = Math.hypot(...expected) + 1e-3;
  const far = Math.hypot(...actual.map((value, i) => value - expected[i]!));
  assert.ok(actual.length === expected.length && far < within * norm, `${what}: ${far} of ${norm}`);
}

const WORKERS = 3;
const STEPS = 5;

test('gradients and residuals of three workers equal those of the plain algorithm; small parameters are exact', async () => {
  const runs = await runAllWorkers(WORKERS, async (cluster) => {
    const { step, compression } = await setUp(cluster);
    const factors = await compression.factors.save();
    const results: Arrays[] = [];
    for (let i = 0; i < STEPS; i++) results.push(await step(gradientsOf(cluster.rank, i)));
    return { factors, results, residuals: await compression.residuals.save() };
  });
  for (const name of NAMES) {
    const slow = isCompressed(name)
      ? new SlowPowerSgd(
          columns(runs[0]!.factors.get(`factors.${name}`)!.data as Float32Array, COMPRESSED[name][1], RANK),
          runs.map(() => columns(new Float32Array(sizeOf(name)), ...COMPRESSED[name])),
        )
      : undefined;
    const total = new Array<number>(sizeOf(name)).fill(0);
    const applied = new Array<number>(sizeOf(name)).fill(0);
    for (let i = 0; i < STEPS; i++) {
      const gradients = runs.map((_, rank) => gradientsOf(rank, i)[name]);
      const exact = gradients[0]!.map((_, at) =>
        gradients.reduce((sum, one) => Math.fround(sum + one[at]!), 0),
      );
      const { results } = runs[0]!;
      for (const run of runs) assert.deepEqual(run.results[i], results[i]);
      const actual = results[i]![name];
      for (const at of total.keys()) {
        total[at]! += gradients.reduce((sum, one) => sum + one[at]!, 0);
        applied[at]! += actual[at]!;
      }
      if (!slow) assert.deepEqual(actual, exact, name);
      else {
        const size = COMPRESSED[name as keyof typeof COMPRESSED];
        assertNear(
          actual,
          slow.step(gradients.map((one) => columns(one, ...size))).flat(),
          `${name} at step ${i}`,
        );
        // What is compared is another gradient than the exact one.
        assert.throws(() => assertNear(actual, exact, name, 0.1));
      }
    }
    if (!slow) continue;
    const residuals = runs.map((run) => [...(run.residuals.get(`error.${name}`)!.data as Float32Array)]);
    for (const [rank, error] of residuals.entries())
      assertNear(error, slow.residuals[rank]!.flat(), `error of ${name} at ${rank}`, 1e-3);
    // Nothing is lost: what has been applied and what is still kept back is all there was.
    const kept = applied.map((value, at) => residuals.reduce((sum, error) => sum + error[at]!, value));
    assertNear(kept, total, `${name} in all`);
  }
});

test('a sum of gradients of the rank of the compression is exact, at the first step too', async () => {
  const random = new RandomStream('low');
  const lowRank = (name: keyof typeof COMPRESSED): number[] => {
    const [n, m] = COMPRESSED[name];
    const factor = (rows: number): Matrix =>
      Array.from({ length: rows }, () => Array.from({ length: RANK }, () => random.normal()));
    return times(factor(n), transposed(factor(m))).flat();
  };
  const sum: Arrays = { ...gradientsOf(0, 0), matrix: lowRank('matrix'), kernel: lowRank('kernel') };
  // Two summands that are of full rank themselves.
  const first = gradientsOf(1, 1);
  const second = Object.fromEntries(
    NAMES.map((name) => [name, sum[name].map((value, i) => value - first[name][i]!)]),
  ) as Arrays;
  const results = await runAllWorkers(2, async (cluster) =>
    (await setUp(cluster)).step(cluster.isPrimary ? first : second),
  );
  for (const result of results) for (const name of NAMES) assertNear(result[name], sum[name], name, 1e-3);
});

test('a rank at which no matrix becomes smaller is refused', () => {
  const runtime = new Runtime();
  runtimes.push(runtime);
  const { entries } = new Weights(runtime, 'model', SPEC);
  assert.throws(() => new PowerSgd(runtime, 'model', entries, 6), {
    name: 'UsageError',
    code: 'E_COMPRESSION_RANK',
    where: 'train.compression.rank',
  });
});

describe('residuals in a checkpoint', () => {
  const path = join(root, 'checkpoint');
  const residualsOf = (runtime: Runtime) =>
    new Weights(runtime, 'residuals', { error: { a: constant([3, 2], 0), b: constant([5], 0) } });
  const valuesOf = (rank: number) => ({
    'error.a': [1, 2, 3, 4, 5, 6].map((value) => value + 10 * rank),
    'error.b': [0, 1, 2, 3, 4].map((value) => value * 2 ** rank),
  });
  const numbersOf = async (residuals: Weights): Promise<Record<string, number[]>> =>
    Object.fromEntries(
      [...(await residuals.save())].map(([name, { data }]) => [name, [...(data as Float32Array)]]),
    );

  test('go back to the same number of workers, or are shared among another; they are 0 without saved ones', async () => {
    await runAllWorkers(3, async (cluster) => {
      const runtime = await workerRuntime(cluster);
      runtimes.push(runtime);
      const weights = residualsOf(runtime);
      const residuals = new Residuals(runtime, weights);
      await residuals.restore(cluster, undefined, createLogger('error'));
      assert.deepEqual(await numbersOf(weights), {
        'error.a': Array(6).fill(0),
        'error.b': Array(5).fill(0),
      });
      const values = Object.entries(valuesOf(cluster.rank));
      await weights.load(
        new Map(
          values.map(([name, data]) => [
            name,
            { dtype: 'float32', shape: name === 'error.a' ? [3, 2] : [5], data: Float32Array.from(data) },
          ]),
        ),
      );
      if (!cluster.isPrimary) await residuals.send();
      else {
        const rest = {
          kind: 'dalle',
          step: 1,
          seed: 0,
          dataPosition: null,
          metrics: {},
          config: {},
        } as const;
        await writeCheckpoint(path, {
          ...rest,
          model: [],
          optimizer: [],
          compression: residuals.sources(),
        });
      }
      await cluster.anyTrue(false);
    });
    const resumeWith = (workers: number) =>
      runAllWorkers(workers, async (cluster) => {
        const runtime = await workerRuntime(cluster);
        runtimes.push(runtime);
        const weights = residualsOf(runtime);
        const checkpoint = cluster.isPrimary
          ? await readCheckpoint(path, { kind: 'dalle', optimizer: true, warn: assert.fail })
          : undefined;
        await new Residuals(runtime, weights).restore(cluster, checkpoint, createLogger('error'));
        return numbersOf(weights);
      });
    assert.deepEqual(await resumeWith(3), [0, 1, 2].map(valuesOf));
    assert.deepEqual(
      await resumeWith(2),
      Array(2).fill({
        'error.a': [1, 2, 3, 4, 5, 6].map((value) => Math.fround((3 * value + 30) / 2)),
        'error.b': [0, 1, 2, 3, 4].map((value) => Math.fround((7 * value) / 2)),
      }),
    );
  });
});
