// Several devices of one process give every byte that one device gives with as many parts: weights, moments, metrics
// and images, with each trainer.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import type { ModelKind } from '../../../src/config/kind.ts';
import {
  clipConfig,
  clipSession,
  dalleConfig,
  dalleSession,
  dvaeConfig,
  dvaeSession,
  lasting,
  type TrainSession,
  writeDalleData,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-devices-'));
const path = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeDalleData(root, 14);
});
after(() => rmSync(root, { recursive: true }));

const SHORT = { steps: 4, logEvery: 1, evaluateEvery: 4, saveEvery: 4 };
const cpus = (count: number): string => Array.from({ length: count }, (_, i) => `cpu:${i}`).join();

/** What a run leaves except its configuration, which has the number of parts of a batch. */
const made = (run: string): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(lasting(run)).filter(([name]) => !/(config\.yaml|state\.json)$|step-2\//.test(name)),
  ),
  state: {
    ...JSON.parse(readFileSync(join(run, 'checkpoints/step-4/state.json'), 'utf8')),
    files: undefined,
  },
});

const SIGMOID = {
  loss: 'sigmoid',
  image: { size: 16, patch: 8, width: 16, layers: 1, heads: 2, pool: 'map' },
};
const RESNET = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };
const clip = (train: object = {}, model: object = RESNET): TrainSession =>
  clipSession(clipConfig({ path, tokenizer }, { train: { ...SHORT, ...train }, model }));
const dalle = (train: object = {}): TrainSession =>
  dalleSession(dalleConfig({ path, dvae, tokenizer }, 1, { ...SHORT, samples: { count: 0 }, ...train }));
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

const PARTS = ['model', 'ema', 'optimizer'] as const;

/** Asserts that the tensors of two runs' last checkpoints are apart by at most 1e-5 of their norm. */
async function assertNear(kind: ModelKind, a: string, b: string): Promise<void> {
  for (const part of PARTS) {
    const read = async (run: string) =>
      (await readCheckpoint(join(root, run), { kind, optimizer: true, warn: () => {} })).read(part);
    const [left, right] = await Promise.all([a, b].map(read));
    let apart = 0;
    let norm = 0;
    for (const [name, { data }] of left!) {
      const other = right!.get(name)!.data as Float32Array;
      for (const [i, value] of (data as Float32Array).entries()) {
        apart += (value - other[i]!) ** 2;
        norm += value ** 2;
      }
    }
    const distance = Math.sqrt(apart / norm);
    assert.ok(distance < 1e-5, `${a}, ${b}: ${part} apart by ${distance} of its norm`);
  }
}

function assertSameBytes(a: string, b: string): void {
  const files = made(join(root, a));
  assert.deepEqual(files, made(join(root, b)));
  for (const part of PARTS) assert.ok(files[`checkpoints/step-4/${part}.safetensors`], part);
}

test('a joint Transformer by Muon on 2 devices, in float16 with scales that overflow, dropout, frozen weights', async () => {
  const train = {
    optimizer: { kind: 'muon', learningRate: { peak: 3e-3, warmup: 3 }, weightDecay: 0.01, clipNorm: 1 },
    precision: 'float16',
    blockLossScale: { start: 2 ** 24 },
    dropout: { attention: 0.1, feedForward: 0.1 },
    freeze: ['blocks.block_1.attention'],
  };
  await dalle({ ...train, accumulateSteps: 2 })(join(root, 'dalle in turn'));
  await dalle(train)(join(root, 'dalle on 2'), { devices: cpus(2) });
  assertSameBytes('dalle on 2', 'dalle in turn');
});

test('a dVAE on 4 devices; a run of one device resumed on others, with as many parts', async () => {
  const stop = { label: 'train-dvae', at: 2 };
  const inTurn = vae({ accumulateSteps: 4 });
  await assert.rejects(() => inTurn(join(root, 'dvae in turn'), { stop }), /stopped at step 2/);
  cpSync(join(root, 'dvae in turn'), join(root, 'dvae resumed on 2'), { recursive: true });
  await inTurn(join(root, 'dvae in turn'), { resume: true });
  await vae()(join(root, 'dvae on 4'), { devices: cpus(4) });
  assertSameBytes('dvae on 4', 'dvae in turn');
  const onTwo = vae({ accumulateSteps: 2, allReduce: 'ring' });
  await onTwo(join(root, 'dvae resumed on 2'), { devices: cpus(2), resume: true });
  await assertNear('dvae', 'dvae in turn', 'dvae resumed on 2');
});

test('a CLIP with batch norm on 2 devices: in chunks, and with each tower run once', async () => {
  const cached = clip({ gradCacheChunk: 2 });
  await cached(join(root, 'clip in turn'));
  await cached(join(root, 'clip on 2'), { devices: cpus(2) });
  assertSameBytes('clip on 2', 'clip in turn');
  await clip()(join(root, 'clip, towers once'), { devices: cpus(2) });
  await assertNear('clip', 'clip in turn', 'clip, towers once');
});

test('a CLIP of the sigmoid loss on 2 devices: in chunks, and with each tower run once', async () => {
  // A large ε makes updates follow the gradients: that of a bias of keys is 0 but for rounding, which a small one counts.
  const optimizer = { learningRate: { peak: 0.5 }, weightDecay: 0.2, epsilon: 1 };
  const cached = clip({ gradCacheChunk: 2, optimizer }, SIGMOID);
  await cached(join(root, 'siglip in turn'));
  await cached(join(root, 'siglip on 2'), { devices: cpus(2) });
  assertSameBytes('siglip on 2', 'siglip in turn');
  await clip({ optimizer }, SIGMOID)(join(root, 'siglip, towers once'), { devices: cpus(2) });
  await assertNear('clip', 'siglip in turn', 'siglip, towers once');
});
