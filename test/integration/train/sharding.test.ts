// A training state that is divided among devices or workers (train.sharding) gives every byte that one device gives with
// as many parts: weights, EMA, moments, metrics and images, and can be resumed by any number of them.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runWorkers } from '../../support/cluster.ts';
import {
  clipConfig,
  clipSession,
  dalleConfig,
  dalleSession,
  dvaeConfig,
  dvaeSession,
  lasting,
  type SessionOptions,
  type TrainSession,
  writeDalleData,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-sharding-'));
const path = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeDalleData(root, 18);
});
after(() => rmSync(root, { recursive: true }));

const SHORT = { steps: 4, logEvery: 1, evaluateEvery: 4, saveEvery: 2 };
const cpus = (count: number): string => Array.from({ length: count }, (_, i) => `cpu:${i}`).join();
const at = (run: string): string => join(root, run);

/** What a run leaves except its configuration, which has the number of parts of a batch. */
const made = (run: string, step: number): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(lasting(at(run))).filter(([name]) => !/(config\.yaml|state\.json)$/.test(name)),
  ),
  state: {
    ...JSON.parse(readFileSync(join(at(run), `checkpoints/step-${step}/state.json`), 'utf8')),
    files: undefined,
  },
});

function assertSameBytes(run: string, reference: string, step = 4): void {
  const files = made(run, step);
  assert.deepEqual(files, made(reference, step));
  for (const part of ['model', 'ema', 'optimizer'])
    assert.ok(files[`checkpoints/step-${step}/${part}.safetensors`], part);
}

/** A session by several workers, of which worker 0 alone writes. */
async function together(
  session: TrainSession,
  run: string,
  workers: number,
  options: SessionOptions = {},
): Promise<PromiseSettledResult<unknown>[]> {
  return runWorkers(workers, (cluster) =>
    session(at(cluster.isPrimary ? run : 'nowhere'), { ...options, cluster }),
  );
}

async function togetherToTheEnd(...args: Parameters<typeof together>): Promise<void> {
  for (const outcome of await together(...args))
    assert.equal(outcome.status, 'fulfilled', String((outcome as PromiseRejectedResult).reason));
}

const dalle = (train: object = {}): TrainSession =>
  dalleSession(
    dalleConfig({ path, dvae, tokenizer }, 1, { ...SHORT, batch: 12, samples: { count: 0 }, ...train }),
  );
/** In float16, in which gradients overflow at first, and with dead codes that are revived. */
const vae = (train: object = {}): TrainSession =>
  dvaeSession(
    dvaeConfig(path, 0, {
      ...SHORT,
      precision: 'float16',
      lossScale: { start: 2 ** 24, growEvery: 2 },
      codebook: { revive: { every: 2 } },
      ...train,
    }),
  );
const clip = (train: object = {}): TrainSession => {
  const model = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };
  return clipSession(clipConfig({ path, tokenizer }, { train: { ...SHORT, ...train }, model }));
};

const FLOAT16 = {
  recompute: 'full',
  precision: 'float16',
  blockLossScale: { start: 2 ** 24 },
  dropout: { attention: 0.1, feedForward: 0.1 },
  freeze: ['blocks.block_1.attention'],
};

test('a joint Transformer in float16 with scales that overflow, dropout and frozen weights, on 2 devices', async () => {
  await dalle({ ...FLOAT16, accumulateSteps: 2 })(at('dalle in turn'));
  for (const sharding of ['optimizer', 'parameters']) {
    await dalle({ ...FLOAT16, sharding })(at(`${sharding} of 2`), { devices: cpus(2) });
    assertSameBytes(`${sharding} of 2`, 'dalle in turn');
  }
});

test('a joint Transformer by 3 workers, stopped and resumed; and by 2 devices, of 2 parts each', async () => {
  const stop = { label: 'train-dalle', at: 2 };
  const train = { recompute: 'full' };
  await dalle({ ...train, accumulateSteps: 3 })(at('3 in turn'));
  for (const { status } of await together(dalle({ ...train, sharding: 'gradients' }), 'by 3', 3, { stop }))
    assert.equal(status, 'rejected');
  cpSync(at('by 3'), at('by 2'), { recursive: true });
  await togetherToTheEnd(dalle({ ...train, sharding: 'parameters' }), 'by 3', 3, { resume: true });
  assertSameBytes('by 3', '3 in turn');
  const parts = dalle({ ...train, sharding: 'parameters', allReduce: 'ring', accumulateSteps: 2 });
  await parts(at('by 2'), { resume: true, devices: cpus(2) });
  const numbers = (run: string): Record<string, number>[] =>
    readFileSync(join(at(run), 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const [expected, actual] = [numbers('3 in turn'), numbers('by 2')];
  assert.equal(actual.length, expected.length);
  for (const [i, values] of actual.entries()) {
    for (const [name, value] of Object.entries(values))
      assert.ok(Math.abs(value - expected[i]![name]!) < 1e-3 * Math.abs(value) + 1e-6, `${name}: ${value}`);
  }
});

test('compressed gradients of 2 workers', async () => {
  const compressed = { compression: { rank: 2 }, steps: 2, evaluateEvery: 9 };
  await togetherToTheEnd(dalle(compressed), 'compressed', 2);
  await togetherToTheEnd(dalle({ ...compressed, sharding: 'gradients' }), 'compressed, sliced', 2);
  assertSameBytes('compressed, sliced', 'compressed', 2);
});

test('a dVAE on 2 devices', async () => {
  const short = { steps: 2, evaluateEvery: 2 };
  for (const sharding of ['none', 'optimizer'])
    await vae({ ...short, sharding })(at(sharding), { devices: cpus(2) });
  assertSameBytes('optimizer', 'none', 2);
});

test('a CLIP with batch norm on 2 devices, in chunks', async () => {
  const cached = { gradCacheChunk: 2, steps: 2, evaluateEvery: 2 };
  await clip(cached)(at('clip in turn'));
  await clip({ ...cached, sharding: 'gradients' })(at('clip on 2'), { devices: cpus(2) });
  assertSameBytes('clip on 2', 'clip in turn', 2);
});

test('weights are divided by mm train-dalle alone, layers that are computed again', async () => {
  await assert.rejects(() => vae({ sharding: 'parameters' })(at('never')), { code: 'E_SHARDING' });
  for (const train of [{ recompute: 'light' }, { recompute: 'full', compression: { rank: 2 } }])
    assert.throws(() => dalle({ ...train, sharding: 'parameters' }), /train[\s\S]*sharding/);
});
