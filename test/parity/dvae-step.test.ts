// Training steps of OpenAI's dVAE, as mm train-dvae makes them, against PyTorch: the same weights, images and noise.
// Fixtures: scripts/fixtures/openai_dvae.py, gumbel-noise.ts and dvae_step.py.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TensorArray, TensorData } from '../../src/checkpoint/dtype.ts';
import { widen } from '../../src/checkpoint/half.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { dvaeCheckpointSchema, dvaeSchema } from '../../src/config/dvae.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { openaiName } from '../../src/convert/dvae/weights.ts';
import { Faults } from '../../src/data/sources/faults.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import type { Metrics } from '../../src/eval/evaluator.ts';
import { DvaeTask } from '../../src/train/dvae/task.ts';
import { startEma } from '../../src/train/loop/state.ts';
import { createLogger } from '../../src/util/logger.ts';
import { SILENT } from '../../src/util/progress.ts';
import { expected, unpack } from '../support/parity.ts';

const STEPS = 2;
const TOLERANCE = 1e-5;
/** What the fixture's changes are multiplied by. */
const SCALE = 1024;

/** The changes kept under `prefix`, by our names and in our order of axes. */
function changes(kept: ReadonlyMap<string, TensorData>, prefix: string): Map<string, Float32Array> {
  const all = new Map<string, Float32Array>();
  for (const [name, tensor] of kept) {
    const parts = name.startsWith(prefix) ? /^(\w+)\.(.*)$/.exec(name.slice(prefix.length)) : null;
    if (!parts) continue;
    const data = (widen(tensor).data as Float32Array).map((value) => value / SCALE);
    all.set(`${parts[1]}.${openaiName(parts[2]!)}`, turn(data, tensor.shape));
  }
  return all;
}

/** [out, in, high, wide] → [high, wide, in, out], by index. */
function turn(data: Float32Array, shape: readonly number[]): Float32Array {
  if (shape.length !== 4) return data;
  const [O, I, H, W] = shape as [number, number, number, number];
  const turned = new Float32Array(data.length);
  for (let o = 0; o < O; o++)
    for (let i = 0; i < I; i++)
      for (let h = 0; h < H; h++)
        for (let w = 0; w < W; w++)
          turned[((h * W + w) * I + i) * O + o] = data[((o * I + i) * H + h) * W + w]!;
  return turned;
}

describe('training steps of the dVAE against PyTorch', () => {
  const runtime = new Runtime();
  const folder = unpack('openai-a');
  after(async () => {
    await runtime.close();
    rmSync(folder, { recursive: true });
  });
  let kept: Map<string, TensorData>;
  let start: Map<string, TensorData>;
  let first: Map<string, { data: TensorArray }>;
  let ema: Map<string, { data: TensorArray }>;
  const metrics: Metrics[] = [];
  before(async () => {
    kept = await expected('openai-a/steps.safetensors');
    const to = join(folder, 'checkpoint');
    await convertWeights([folder], to, { imageSize: 24 });
    const checkpoint = await readCheckpoint(to, { kind: 'dvae', warn: assert.fail });
    start = await checkpoint.read('model');
    const config = dvaeSchema.parse({
      data: { path: 'nowhere' },
      model: checkpoint.config(dvaeCheckpointSchema).model,
      train: {
        steps: STEPS,
        batch: 2,
        optimizer: { learningRate: { peak: 1e-3, end: 1e-3 }, weightDecay: 0.1 },
        ema: { decay: 0.999 },
        temperature: { start: 0.7, end: 0.7 },
        kl: { weight: 6.6, steps: 0 },
      },
    });
    const log = createLogger('silent');
    const task = new DvaeTask(runtime, config, {
      path: folder,
      images: [],
      validation: { batches: [], batch: 1 },
      faults: new Faults(log),
      log,
      progress: SILENT,
      signal: new AbortController().signal,
    });
    const { weights, optimizer, ema: averaged } = task.state;
    await weights.load(start);
    await optimizer.moments.initialize(0);
    await startEma(runtime, task.state);
    const pixels = (await expected('openai-a/expected.safetensors')).get('pixels')!.data as Uint8Array;
    for (let step = 0; step < STEPS; step++) {
      const batch = { pixels, keys: ['a', 'b'], captions: [], position: { epoch: 0, index: 0 } };
      metrics.push(await task.update(step, batch));
      if (step === 0) first = await weights.save();
    }
    ema = await averaged!.weights.save();
  });

  test('the losses and the gradient norm are the same', () => {
    for (const [step, values] of metrics.entries()) {
      const wanted = kept.get(`${step}.metrics`)!.data as Float32Array;
      for (const [i, name] of ['loss', 'reconstruction', 'kl', 'gradientNorm'].entries()) {
        const difference = Math.abs(values[name]! - wanted[i]!);
        assert.ok(difference < 1e-5, `${name} of step ${step} is ${values[name]}, not ${wanted[i]}`);
      }
    }
  });

  /** The largest difference of the changes from the start; also checks that there are changes to compare. */
  const compare = (actual: Map<string, { data: TensorArray }>, wanted: Map<string, Float32Array>): void => {
    assert.deepEqual([...wanted.keys()].sort(), [...start.keys()].sort());
    let changed = 0;
    for (const [name, change] of wanted) {
      const before = start.get(name)!.data as Float32Array;
      const now = actual.get(name)!.data as Float32Array;
      change.forEach((value, i) => {
        const difference = Math.abs(now[i]! - before[i]! - value);
        assert.ok(difference < TOLERANCE, `${name}[${i}] changed by ${now[i]! - before[i]!}, not ${value}`);
        if (Math.abs(value) > 10 * TOLERANCE) changed++;
      });
    }
    assert.ok(changed > 5000, `${changed} weights changed`);
  };

  test('the weights after a step are the same within 1e-5', () => compare(first, changes(kept, 'weights.')));

  test('and so is their average after two', () => compare(ema, changes(kept, 'average.')));
});
