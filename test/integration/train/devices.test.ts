// Several devices of one process give every byte that one device gives with as many parts: weights, moments, metrics
// and images, with each trainer.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readCheckpoint } from '../../../src/checkpoint/read.ts';
import type { ModelKind } from '../../../src/config/kind.ts';
import { writeImages, writeTinyDvae } from '../../support/tiny-dvae.ts';
import {
  clipConfig,
  clipSession,
  dalleConfig,
  dalleSession,
  dvaeConfig,
  dvaeSession,
  lasting,
  type TrainSession,
  writeTokenizer,
} from '../../support/tiny-runs.ts';

const root = mkdtempSync(join(tmpdir(), 'mm-devices-'));
const path = join(root, 'images');
const dvae = join(root, 'dvae');
const tokenizer = join(root, 'tokenizer.json');
before(async () => {
  await writeImages(path, 14);
  await writeTinyDvae(dvae);
  await writeTokenizer(tokenizer, path);
});
after(() => rmSync(root, { recursive: true }));

const SHORT = { steps: 4, logEvery: 1, evaluateEvery: 4, saveEvery: 4 };
const cpus = (count: number): string => Array.from({ length: count }, (_, i) => `cpu:${i}`).join();

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

const clip = (train: object = {}, model: object = {}): TrainSession =>
  clipSession(clipConfig({ path, tokenizer }, { train: { ...SHORT, ...train }, model }));
const dalle = (train: object = {}): TrainSession =>
  dalleSession(dalleConfig({ path, dvae, tokenizer }, 1, { ...SHORT, ...train }));
const vae = (train: object = {}): TrainSession => dvaeSession(dvaeConfig(path, 0, { ...SHORT, ...train }));

/** A float16 in which gradients overflow at first. */
const HALF = { precision: 'float16', lossScale: { start: 2 ** 30, growEvery: 2 } };
const RESNET = { image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] } };

interface Case {
  readonly devices: number;
  readonly spread: TrainSession;
  /** The same parts one after the other. */
  readonly inTurn: () => TrainSession;
}

const cases: Record<string, () => Case> = {
  'a joint Transformer, 2 devices, float16 with scales that overflow, dropout': () => {
    const train = {
      precision: 'float16',
      blockLossScale: { start: 2 ** 24 },
      dropout: { attention: 0.1, feedForward: 0.1 },
    };
    return { devices: 2, spread: dalle(train), inTurn: () => dalle({ ...train, accumulateSteps: 2 }) };
  },
  'a joint Transformer, 4 devices, recomputed, frozen weights': () => {
    const train = { recompute: true, freeze: ['blocks.block_1.attention'], codebookInit: true };
    return { devices: 4, spread: dalle(train), inTurn: () => dalle({ ...train, accumulateSteps: 4 }) };
  },
  'a dVAE, 2 devices, float16, dead codes revived': () => {
    const train = { ...HALF, codebook: { revive: { every: 2 } } };
    return { devices: 2, spread: vae(train), inTurn: () => vae({ ...train, accumulateSteps: 2 }) };
  },
  'a dVAE, 4 devices': () => ({ devices: 4, spread: vae(), inTurn: () => vae({ accumulateSteps: 4 }) }),
  'a CLIP in chunks, 4 devices': () => {
    const session = clip({ gradCacheChunk: 1 });
    return { devices: 4, spread: session, inTurn: () => session };
  },
  'a CLIP with batch norm in chunks, 2 devices': () => {
    const session = clip({ gradCacheChunk: 2 }, RESNET);
    return { devices: 2, spread: session, inTurn: () => session };
  },
};
for (const [name, make] of Object.entries(cases)) {
  test(`${name}: every byte of one device with as many parts`, async () => {
    const { devices, spread, inTurn } = make();
    await inTurn()(join(root, `${name}, in turn`));
    await spread(join(root, name), { devices: cpus(devices) });
    const files = made(join(root, name));
    assert.deepEqual(files, made(join(root, `${name}, in turn`)));
    for (const part of ['model', 'ema', 'optimizer'])
      assert.ok(files[`checkpoints/step-4/${part}.safetensors`], part);
  });
}

const PARTS = ['model', 'ema', 'optimizer'] as const;

/** ‖a − b‖ / ‖a‖ over all tensors of a part of two runs' checkpoints. */
async function distance(
  kind: ModelKind,
  a: string,
  b: string,
  part: (typeof PARTS)[number],
): Promise<number> {
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
  return Math.sqrt(apart / norm);
}

async function assertNear(kind: ModelKind, a: string, b: string): Promise<void> {
  for (const part of PARTS) {
    const apart = await distance(kind, a, b, part);
    assert.ok(apart < 1e-5, `${a}, ${b}: ${part} apart by ${apart} of its norm`);
  }
}

test('the ring, and a CLIP whose towers run once, equal the exact order to rounding', async () => {
  await dalle()(join(root, 'in order'), { devices: cpus(2) });
  await dalle({ allReduce: 'ring' })(join(root, 'by the ring'), { devices: cpus(2) });
  await assertNear('dalle', 'in order', 'by the ring');
  await clip({ gradCacheChunk: 2 }, RESNET)(join(root, 'cached'));
  await clip({}, RESNET)(join(root, 'once'), { devices: cpus(2) });
  await assertNear('clip', 'cached', 'once');
});

test('a run resumed on the same devices has the same bytes; on others, with as many parts, equals them to rounding', async () => {
  const stop = { label: 'train-dvae', at: 2 };
  const twice = vae({ accumulateSteps: 2 });
  await twice(join(root, 'whole'), { devices: cpus(2) });
  for (const [run, resumed, devices] of [
    ['on as many', twice, cpus(2)],
    ['on four', vae(), cpus(4)],
  ] as const) {
    await assert.rejects(() => twice(join(root, run), { devices: cpus(2), stop }), /stopped at step 2/);
    await resumed(join(root, run), { devices, resume: true });
  }
  const kept = (run: string) =>
    Object.entries(lasting(join(root, run))).filter(([file]) => !file.includes('step-2/'));
  assert.deepEqual(kept('on as many'), kept('whole'));
  await assertNear('dvae', 'whole', 'on four');
});
