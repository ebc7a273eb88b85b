// Several workers give every byte that one process gives with as many parts: weights, moments, metrics and images.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Runtime } from '../../../src/engine/session/runtime.ts';
import { constant } from '../../../src/nn/parameters.ts';
import { Weights } from '../../../src/nn/weights.ts';
import { dataParallelSave, minThreads } from '../../../src/train/distributed/data-parallel.ts';
import type { LoopResult } from '../../../src/train/loop/loop.ts';
import { Adam } from '../../../src/train/optim/adam.ts';
import { DataError, InterruptedError, UsageError } from '../../../src/util/errors.ts';
import { runWorkers } from '../../support/cluster.ts';
import { writeImages } from '../../support/tiny-dvae.ts';
import {
  type DalleData,
  dalleConfig,
  dalleSession,
  lasting,
  type SessionOptions,
  writeDalleData,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-workers-'));
const path = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeDalleData(root, 18);
});
after(() => rmSync(root, { recursive: true }));

const configOf = (train: object, data: Partial<DalleData> = {}) =>
  dalleConfig({ path, dvae, tokenizer, ...data }, 1, { batch: 6, ...train });

/** What a run leaves except its configuration, which has the number of parts of a batch. */
const made = (run: string): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(lasting(run)).filter(([name]) => !/(config\.yaml|state\.json)$|step-(?!10\b)/.test(name)),
  ),
  state: {
    ...JSON.parse(readFileSync(join(run, 'checkpoints/step-10/state.json'), 'utf8')),
    files: undefined,
  },
});

/** Each worker gets another folder, to see that only worker 0 writes. */
const folderOf = (run: string, rank: number): string => join(root, rank === 0 ? run : `${run} of ${rank}`);

interface Work {
  readonly workers: number;
  readonly train?: object;
}

/** The outcome of a session of the run, for each worker. */
function work(
  run: string,
  { workers, train = {} }: Work,
  options: (
    rank: number,
  ) => SessionOptions & { readonly data?: Partial<DalleData>; readonly train?: object } = () => ({}),
): Promise<PromiseSettledResult<LoopResult>[]> {
  return runWorkers(workers, (cluster) => {
    const { data, train: own, ...session } = options(cluster.rank);
    const config = configOf({ ...train, ...own }, data);
    return dalleSession(config)(folderOf(run, cluster.rank), { ...session, cluster });
  });
}

const reasons = (outcomes: readonly PromiseSettledResult<unknown>[]): Error[] =>
  outcomes.map((outcome) => {
    assert.equal(outcome.status, 'rejected');
    return (outcome as PromiseRejectedResult).reason as Error;
  });

const cases: Record<string, Work> = {
  two: { workers: 2 },
  three: { workers: 3, train: { codebookInit: true, freeze: ['blocks.block_1.attention'] } },
  'two, in float16 with scales that overflow, with dropout, recomputed, on plateaus': {
    workers: 2,
    train: {
      precision: 'float16',
      blockLossScale: { start: 2 ** 24 },
      dropout: { attention: 0.1, feedForward: 0.1 },
      recompute: 'full',
      plateau: { patience: 1, threshold: 10 },
    },
  },
};
for (const [name, { workers, train }] of Object.entries(cases)) {
  test(`workers: ${name}`, async () => {
    const alone = join(root, `${name}, alone`);
    await dalleSession(configOf({ ...train, accumulateSteps: workers }))(alone);
    const outcomes = await work(name, { workers, ...(train && { train }) });
    const files = made(folderOf(name, 0));
    assert.deepEqual(files, made(alone));
    for (const part of ['model', 'ema', 'optimizer'])
      assert.ok(files[`checkpoints/step-10/${part}.safetensors`], part);
    assert.ok(files['metrics.jsonl'] && files['samples/step-10.png']);
    for (const [rank, outcome] of outcomes.entries()) {
      assert.equal(outcome.status, 'fulfilled', String((outcome as PromiseRejectedResult).reason));
      assert.equal(existsSync(folderOf(name, rank)), rank === 0);
    }
  });
}

test('Ctrl-C at worker 1 stops both at the same step; resumed, they equal an uninterrupted run', async () => {
  const run = 'stopped';
  const train = { plateau: { patience: 1, threshold: 10 } };
  const alone = join(root, `${run}, alone`);
  await dalleSession(configOf({ ...train, accumulateSteps: 2 }))(alone);
  const stop = { label: 'train-dalle', at: 7 };
  const stopped = await work(run, { workers: 2, train }, (rank) => (rank === 1 ? { stop } : {}));
  for (const error of reasons(stopped)) {
    assert.ok(error instanceof InterruptedError);
    assert.equal(error.code, 'E_INTERRUPTED');
    assert.match(error.message, /\bstep 7 of 10\b/);
    assert.match(error.where!, /stopped\/checkpoints\/step-7$/);
  }
  const resumed = await work(run, { workers: 2, train }, () => ({ resume: true }));
  for (const { status } of resumed) assert.equal(status, 'fulfilled');
  assert.deepEqual(made(folderOf(run, 0)), made(alone));
});

test('compressed gradients: a resumed run equals an uninterrupted one, residuals of all workers included', async () => {
  const compressed: Work = { workers: 2, train: { compression: { rank: 2 } } };
  const part = 'checkpoints/step-10/compression.safetensors';
  const whole = join(root, 'compressed');
  for (const { status } of await work('compressed', compressed)) assert.equal(status, 'fulfilled');
  const stop = { label: 'train-dalle', at: 7 };
  const stopped = await work('compressed, stopped', compressed, () => ({ stop }));
  for (const error of reasons(stopped)) assert.ok(error instanceof InterruptedError);
  // A copy is resumed with another number of workers.
  cpSync(join(root, 'compressed, stopped'), join(root, 'compressed, by three'), { recursive: true });
  for (const { status } of await work('compressed, stopped', compressed, () => ({ resume: true })))
    assert.equal(status, 'fulfilled');
  const files = made(whole);
  assert.deepEqual(made(join(root, 'compressed, stopped')), files);
  assert.ok(files[part]);
  assert.notEqual(files['metrics.jsonl'], made(join(root, 'two'))['metrics.jsonl']);

  const byThree = { ...compressed, workers: 3 };
  for (const { status } of await work('compressed, by three', byThree, () => ({ resume: true })))
    assert.equal(status, 'fulfilled');
  // Updates depend on the sum of the residuals only: the run is the same except for rounding, which Adam's first steps
  // amplify.
  const losses = (run: string): number[] =>
    readFileSync(join(root, run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number>)
      .filter(({ loss }) => loss !== undefined)
      .map(({ loss }) => loss!);
  const [expected, actual] = [losses('compressed'), losses('compressed, by three')];
  assert.equal(actual.length, expected.length);
  for (const [i, loss] of actual.entries())
    assert.ok(Math.abs(loss - expected[i]!) < 1e-3, `${loss}, ${expected[i]}`);
});

test('a gradient that is not finite ends all workers, with the first tensor that one of them found', async () => {
  const train = { optimizer: { learningRate: { peak: 1e38 } } };
  const [first, second] = reasons(await work('diverging', { workers: 2, train }));
  for (const error of [first!, second!]) {
    assert.ok(error instanceof DataError);
    assert.equal(error.code, 'E_DIVERGED');
    assert.match(error.message, /step \d+; .*\(made.*; (.*, ){5}/);
  }
  assert.equal(first!.message, second!.message);
});

describe('workers must have in common', () => {
  test('the configuration', async () => {
    const outcomes = await work('never', { workers: 2 }, (rank) => ({ train: { textLossWeight: rank / 4 } }));
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof UsageError);
      assert.equal(error.code, 'E_WORKER_MISMATCH');
      assert.match(error.message, /worker 1 .*configuration/);
    }
  });

  test('the data, not its paths', async () => {
    const others = join(root, 'others');
    await writeImages(others, 18);
    const moved = await work('moved', { workers: 2, train: { steps: 1 } }, (rank) =>
      rank === 1 ? { data: { path: others } } : {},
    );
    for (const { status } of moved) assert.equal(status, 'fulfilled');
    writeFileSync(join(others, 'a', '000.txt'), 'image 00\n');
    const outcomes = await work('never', { workers: 2 }, (rank) =>
      rank === 1 ? { data: { path: others } } : {},
    );
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /worker 1 .*data/);
    }
  });

  test('the number of threads: the least of all workers', async () => {
    const counts = [8, 3, 4];
    for (const outcome of await runWorkers(3, (cluster) => minThreads(cluster, counts[cluster.rank]!)))
      assert.equal((outcome as PromiseFulfilledResult<number>).value, 3);
  });

  test('the weights, at each checkpoint', async () => {
    const runtimes: Runtime[] = [];
    const outcomes = await runWorkers(3, async (cluster) => {
      const runtime = new Runtime();
      runtimes.push(runtime);
      const weights = new Weights(runtime, 'model', {
        bias: constant([3], cluster.rank === 2 ? 1 + 2 ** -23 : 1),
      });
      const optimizer = new Adam(runtime, 'model', weights.entries, configOf({}).train.optimizer);
      await weights.initialize(0);
      await optimizer.moments.initialize(0);
      const state = { weights, optimizer, ema: undefined };
      return dataParallelSave(cluster, state, async () => assert.fail('saved'))(5, undefined, {});
    });
    for (const runtime of runtimes) await runtime.close();
    for (const error of reasons(outcomes)) {
      assert.ok(error instanceof DataError);
      assert.match(error.message, /worker 2 .*weights.* 5 updates/);
    }
  });
});

test('a batch that cannot be shared, or a folder that is not empty, is an error of all workers', async () => {
  for (const error of reasons(await work('never', { workers: 2, train: { accumulateSteps: 2, batch: 6 } }))) {
    assert.ok(error instanceof UsageError);
    assert.equal(error.code, 'E_BATCH_NOT_DIVISIBLE');
    assert.equal(error.option, 'workers');
    assert.match(error.message, /\btrain\.batch 6\b.*\b2 workers × train\.accumulateSteps 2\b/);
    assert.match(error.fix!, /\b4\b/);
  }
  const [first, second] = reasons(await work('two', { workers: 2 }));
  assert.ok(first instanceof UsageError && second instanceof UsageError);
  assert.equal(first.code, 'E_RUN_FOLDER_NOT_EMPTY');
  assert.equal(second.message, `worker 0: ${first.message}`);
  assert.ok(!existsSync(join(root, 'never')));
});
