// Every trainer with several workers gives every byte that one process gives with as many parts: weights, moments,
// metrics and images. The workers share this process; test/cli/workers.test.ts has them in processes.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runWorkers } from '../../support/cluster.ts';
import { writeImages } from '../../support/tiny-dvae.ts';
import {
  clipConfig,
  clipSession,
  dvaeConfig,
  dvaeSession,
  lasting,
  type SessionOptions,
  type TrainSession,
  writeTokenizer,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-worker-trainers-'));
const path = join(root, 'images');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeImages(path, 14);
  await writeTokenizer(tokenizer, path);
});
after(() => rmSync(root, { recursive: true }));

const SHORT = { steps: 4, logEvery: 1, evaluateEvery: 4, saveEvery: 4 };

/** What a run leaves except its configuration, which has the number of parts of a batch. */
const made = (run: string): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(lasting(run)).filter(([name]) => !/(config\.yaml|state\.json)$/.test(name)),
  ),
  state: {
    ...JSON.parse(readFileSync(join(run, 'checkpoints/step-4/state.json'), 'utf8')),
    files: undefined,
  },
});

async function together(
  session: TrainSession,
  run: string,
  workers: number,
  options: SessionOptions = {},
): Promise<void> {
  const outcomes = await runWorkers(workers, (cluster) =>
    session(join(root, cluster.isPrimary ? run : 'nowhere'), { ...options, cluster }),
  );
  for (const outcome of outcomes)
    assert.equal(outcome.status, 'fulfilled', String((outcome as PromiseRejectedResult).reason));
}

function assertSameBytes(a: string, b: string): void {
  const files = made(join(root, a));
  assert.deepEqual(files, made(join(root, b)));
  for (const part of ['model', 'ema', 'optimizer'])
    assert.ok(files[`checkpoints/step-4/${part}.safetensors`], part);
}

/** In float16, in which gradients overflow at first, and with dead codes that are revived. */
const vae = (train: object = {}): TrainSession =>
  dvaeSession(
    dvaeConfig(path, 0, {
      ...SHORT,
      precision: 'float16',
      lossScale: { start: 2 ** 30, growEvery: 2 },
      codebook: { revive: { every: 2 } },
      ...train,
    }),
  );

test('a dVAE by two workers of two devices each, with scales that overflow and codes that are revived', async () => {
  await vae({ accumulateSteps: 4 })(join(root, 'dvae alone'));
  await together(vae(), 'dvae together', 2, { devices: 'cpu:0,cpu:1' });
  assertSameBytes('dvae together', 'dvae alone');
});

const RESNET = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };
const SIGMOID = {
  loss: 'sigmoid',
  image: { size: 16, patch: 8, width: 16, layers: 1, heads: 2, pool: 'map' },
};
const clip = (train: object = {}, model: object = RESNET): TrainSession =>
  clipSession(clipConfig({ path, tokenizer }, { train: { ...SHORT, batch: 6, ...train }, model }));

test('a CLIP with batch norm by three workers, in chunks: each image against the texts of all workers', async () => {
  const cached = clip({ gradCacheChunk: 2 });
  await cached(join(root, 'clip alone'));
  await together(cached, 'clip in chunks', 3);
  assertSameBytes('clip in chunks', 'clip alone');
});

test('a CLIP of the sigmoid loss by two workers, in chunks: each image against the texts of both', async () => {
  const cached = clip({ gradCacheChunk: 3 }, SIGMOID);
  await cached(join(root, 'siglip alone'));
  await together(cached, 'siglip in chunks', 2);
  assertSameBytes('siglip in chunks', 'siglip alone');
});

test('a CLIP by two workers, with each tower run once, is that of one process to rounding', async () => {
  await clip({ gradCacheChunk: 3 })(join(root, 'clip in turn'));
  await together(clip(), 'clip at once', 2);
  const losses = (run: string): number[] =>
    readFileSync(join(root, run, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number>)
      .flatMap(({ loss }) => loss ?? []);
  const [expected, actual] = [losses('clip in turn'), losses('clip at once')];
  assert.equal(actual.length, 4);
  for (const [i, loss] of actual.entries())
    assert.ok(Math.abs(loss - expected[i]!) < 1e-4, `${loss}, ${expected[i]}`);
});
