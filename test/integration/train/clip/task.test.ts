// CLIP learns which caption belongs to which image; an update in chunks equals that of the whole batch.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TensorData } from '../../../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { type Tensor, tf } from '../../../../src/engine/tfjs/tf.ts';
import { clipSpec } from '../../../../src/models/clip/model.ts';
import { Weights as ModelWeights } from '../../../../src/nn/weights.ts';
import { readMetrics } from '../../../../src/report/run/metrics.ts';
import { applyUpdate } from '../../../../src/train/clip/step.ts';
import type { LoopResult } from '../../../../src/train/loop/loop.ts';
import { Adam } from '../../../../src/train/optim/adam.ts';
import { writeImage, writeImages } from '../../../support/tiny-dvae.ts';
import { type ClipOptions, clipConfig, clipSession, writeTokenizer } from '../../../support/tiny-runs.ts';

const IMAGES = 20;

const root = mkdtempSync(join(tmpdir(), 'mm-clip-'));
const data = { path: join(root, 'images'), tokenizer: join(root, 'tokenizer.json') };
before(async () => {
  await writeImages(data.path, IMAGES);
  await writeTokenizer(data.tokenizer, data.path);
});
after(() => rmSync(root, { recursive: true }));

const RESNET = {
  image: { tower: 'resnet', size: 32, width: 2, blocks: [1, 1, 1, 1] },
};
const LUCID = {
  architecture: 'dalle-pytorch',
  image: { size: 16, patch: 8, width: 16, layers: 1, heads: 1, mean: [0, 0, 0], stddev: [1, 1, 1] },
};

async function weights(run: string, part: 'model' | 'ema' = 'model'): Promise<Weights> {
  return (await readCheckpoint(run, { kind: 'clip', warn: assert.fail })).read(part);
}

type Weights = Map<string, TensorData>;
const norm = (values: readonly number[]): number => Math.hypot(...values);
const flat = ({ data }: TensorData): number[] => Array.from(data as Float32Array);
const all = (weights: Weights): number[] => [...weights.values()].flatMap(flat);

describe('an update in chunks', () => {
  const train = { steps: 1, batch: 12, evaluateEvery: 1, saveEvery: 1 };
  // A large ε makes the update follow the gradient: with a small one, gradients that are only rounding count as much.
  const optimizer = { learningRate: { peak: 0.5 }, weightDecay: 0.2, epsilon: 1 };
  const run = async (name: string, options: ClipOptions): Promise<string> => {
    const path = join(root, name);
    const settings = { ...options, train: { ...train, optimizer, ...options.train } };
    await clipSession(clipConfig(data, settings))(path);
    return path;
  };

  for (const [name, model] of [
    ['ViT', {}],
    ['DALLE-pytorch', LUCID],
  ] as const) {
    test(`${name}: parameters and EMA equal those of the whole batch`, async () => {
      const whole = await run(`${name} whole`, { model });
      for (const chunk of [4, 3, 1]) {
        const chunked = await run(`${name} ${chunk}`, { model, train: { gradCacheChunk: chunk } });
        for (const part of ['model', 'ema'] as const) {
          const [a, b] = [all(await weights(whole, part)), all(await weights(chunked, part))];
          const differences = a.map((value, i) => value - b[i]!);
          const relative = norm(differences) / norm(a);
          assert.ok(relative < 1e-6, `${part} by ${chunk}: all differ by ${relative}`);
        }
        const [a, b] = await Promise.all(
          [whole, chunked].map(async (path) => (await readMetrics(join(path, 'metrics.jsonl')))[1]!.values),
        );
        for (const figure of ['loss', 'accuracy', 'gradientNorm', 'logitScale'])
          assert.ok(Math.abs(a![figure]! - b![figure]!) < 1e-5 * Math.abs(a![figure]!) + 1e-6, figure);
      }
    });
  }

  test('a third of the batch gives another update', async () => {
    const small = all(await weights(await run('small batch', { train: { batch: 4 } })));
    const differences = all(await weights(join(root, 'ViT whole'))).map((value, i) => value - small[i]!);
    assert.ok(norm(differences) / norm(small) > 1e-3);
  });

  test('ResNet: chunks update the running statistics as batches do', async () => {
    // With next to no step size, two batches of 6 see the same weights as two chunks of 6.
    const still = { optimizer: { learningRate: { peak: 1e-30 } } };
    const batches = await run('two batches', { model: RESNET, train: { ...still, batch: 6, steps: 2 } });
    const chunks = await run('two chunks', { model: RESNET, train: { ...still, gradCacheChunk: 6 } });
    const [a, b] = [await weights(batches), await weights(chunks)];
    const statistics = [...a.keys()].filter((name) => /norm\.(mean|variance)$/.test(name));
    assert.ok(statistics.length > 20);
    for (const name of statistics) {
      const [mine, other] = [flat(a.get(name)!), flat(b.get(name)!)];
      assert.ok(norm(mine.map((value, i) => value - other[i]!)) < 1e-5 * norm(mine), name);
    }
    const { data } = a.get('image.stem.conv_1.norm.variance')!;
    const moved = Array.from(data as Float32Array, (value) => Math.abs(value - 1));
    assert.ok(Math.min(...moved) > 1e-3, `${moved}`);
  });
});

describe('a short run', () => {
  const run = join(root, 'run');
  let result: LoopResult;
  before(async () => {
    const classes = join(root, 'classes');
    for (const [i, label] of ['first', 'second'].entries()) {
      mkdirSync(join(classes, label), { recursive: true });
      for (const n of [0, 1]) await writeImage(join(classes, label, `${n}.png`), 2 * n + i);
    }
    const settings = {
      data: {
        crop: 'none',
        validation: 0,
        zeroShot: { images: classes, templates: ['{label}', 'image of {label}'] },
      },
      train: {
        steps: 60,
        batch: 16,
        evaluateEvery: 30,
        ema: undefined,
        optimizer: { learningRate: { peak: 1e-2, end: 1e-3, warmup: 5 } },
      },
    };
    result = await clipSession(clipConfig(data, settings))(run);
  });

  test('finds the caption of an image and the image of a caption', () => {
    assert.ok(result.lastLoss! < 0.5 * result.firstLoss!, `${result.firstLoss} → ${result.lastLoss}`);
    const { evaluation } = result;
    for (const way of ['imageToText', 'textToImage']) {
      const recalls = [1, 5, 10].map((k) => evaluation[`${way}@${k}`]!);
      assert.ok(
        recalls[0]! > 0.5 && recalls[0]! <= recalls[1]! && recalls[1]! <= recalls[2]!,
        `${way} ${recalls}`,
      );
    }
    assert.ok(evaluation.zeroShot! >= 0 && evaluation.zeroShot! <= 1);
  });

  test('reports a logit scale of at most 100', async () => {
    const metrics = await readMetrics(join(run, 'metrics.jsonl'));
    const scales = metrics.flatMap(({ values }) => values.logitScale ?? []);
    assert.ok(scales.length > 1 && scales.every((scale) => scale > 1 && scale <= 100.001), `${scales}`);
  });

  test('leaves a grid of images with their closest captions', () =>
    assert.deepEqual(readdirSync(join(run, 'samples')).sort(), ['step-0.png', 'step-30.png', 'step-60.png']));
});

test('a logit scale above 100 is clipped to 100', async () => {
  const config = clipConfig(data);
  const runtime = new Runtime();
  try {
    const weights = new ModelWeights(runtime, 'clip', clipSpec(config.model));
    const optimizer = new Adam(runtime, 'clip', weights.trained, config.train.optimizer);
    const parts = { runtime, config, weights, optimizer, ema: undefined };
    await weights.initialize(0);
    await optimizer.moments.initialize(0);
    const update = runtime.compile('update', (_: Record<never, Tensor>) => {
      // Adam's first update is as large as the step size, whatever the gradient.
      const gradients = new Map(
        [...weights.trained].map(([name, { spec }]) => [
          name,
          tf.fill([...spec.shape], name === 'logit_scale' ? -1 : 0),
        ]),
      );
      return applyUpdate(parts, gradients, tf.scalar(0), tf.scalar(1.5), 'before');
    });
    const scale = async (): Promise<number> => Number((await weights.save()).get('logit_scale')!.data[0]);
    const before = await scale();
    await update({});
    assert.ok(Math.abs((await scale()) - before - 1.5) < 1e-4);
    await update({});
    assert.ok(Math.abs((await scale()) - Math.log(100)) < 1e-6);
  } finally {
    await runtime.close();
  }
});
