// Three updates of the published model against a PyTorch reference (scripts/fixtures/dalle_step.py): losses, gradient
// norms, weights, moments, averaged weights. Taken whole, in parts, with recomputed activations.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type DalleConfig, dalleSchema } from '../../src/config/dalle.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { DalleStep } from '../../src/train/dalle/step.ts';
import { stepKey } from '../../src/train/loop/scalars.ts';
import { startEma } from '../../src/train/loop/state.ts';
import { Adam } from '../../src/train/optim/adam.ts';
import { Ema } from '../../src/train/optim/ema.ts';
import { expected } from '../support/parity.ts';

const reference = await expected('dalle-step.safetensors');
const RATES = [1e-2, 2e-2, 1.5e-2];

const part = (prefix: string): Map<string, HostTensor> =>
  new Map(
    [...reference]
      .filter(([name]) => name.startsWith(`${prefix}.`))
      .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor as HostTensor]),
  );

const config = (train: object = {}, optimizer: object = {}): DalleConfig =>
  dalleSchema.parse({
    data: { path: 'nowhere', dvae: 'nowhere', tokenizer: 'nowhere' },
    model: {
      textLength: 4,
      textVocabulary: 9,
      grid: 3,
      imageVocabulary: 7,
      width: 8,
      layers: 3,
      heads: 2,
      attention: ['row', 'column'],
      lastAttention: 'conv',
      kernelSize: 3,
    },
    train: {
      steps: 3,
      batch: 3,
      optimizer: {
        learningRate: { peak: 1 },
        beta2: 0.96,
        weightDecay: 4.5e-2,
        clipNorm: 2,
        ...optimizer,
      },
      ema: { decay: 0.6 },
      ...train,
    },
  });

/**
 * A bias of keys moves all scores of a query alike: its gradient is 0 but for rounding, which Adam makes into whole
 * steps.
 */
const hasGradient = (name: string, index: number, length: number): boolean =>
  !name.endsWith('qkv.bias') || Math.floor((3 * index) / length) !== 1;

const runtimes: Runtime[] = [];
after(async () => {
  for (const runtime of runtimes) await runtime.close();
});

async function train(how: DalleConfig): Promise<Record<string, number>> {
  const runtime = new Runtime();
  runtimes.push(runtime);
  const weights = new Weights(runtime, 'dalle', dalleSpec(how.model));
  const optimizer = new Adam(runtime, 'dalle', weights.entries, how.train.optimizer);
  const ema = new Ema(runtime, 'dalle', weights, how.train.ema!);
  const state = { weights, trained: weights.entries, optimizer, ema, lossScale: undefined };
  const step = new DalleStep(runtime, how, state);
  await weights.load(part('before'));
  await optimizer.moments.initialize(0);
  await startEma(runtime, state);
  let losses = 0;
  for (const [i, rate] of RATES.entries()) {
    const tokens = (name: string): Int32Array => reference.get(`${name}.${i}`)!.data as Int32Array;
    const batch = { count: 3, text: tokens('text'), image: tokens('image') };
    const results = await step.run(batch, i, rate, stepKey(0, i));
    const wanted = reference.get(`losses.${i}`)!.data as Float32Array;
    for (const [at, name] of ['loss', 'textLoss', 'imageLoss', 'gradientNorm'].entries())
      losses = Math.max(losses, Math.abs(results[name]! - wanted[at]!));
  }
  const moments = await optimizer.moments.save();
  const far = (ours: ReadonlyMap<string, HostTensor>, theirs: string, prefix = ''): number =>
    Math.max(
      ...[...part(theirs)].map(([name, { data }]) => {
        const values = ours.get(prefix + name)!.data;
        return Math.max(
          ...Array.from(data as Float32Array, (value, k) =>
            hasGradient(name, k, data.length) ? Math.abs(value - Number(values[k])) : 0,
          ),
        );
      }),
    );
  return {
    losses,
    weights: far(await weights.save(), 'after'),
    first: far(moments, 'm', 'm.'),
    second: far(moments, 'v', 'v.'),
    ema: far(await ema.weights.save(), 'average'),
  };
}

describe('within 1e-5 of the reference', () => {
  for (const how of [{}, { recompute: 'full' }, { accumulateSteps: 3 }]) {
    test(JSON.stringify(how), async () => {
      for (const [name, difference] of Object.entries(await train(config(how))))
        assert.ok(difference < 1e-5, `${name}: ${difference}`);
    });
  }
});

describe('another setting would be noticed', () => {
  const mistakes: [train: object, optimizer: object, what: string][] = [
    [{}, { weightDecay: 0 }, 'weights'],
    [{}, { beta2: 0.999 }, 'second'],
    [{}, { beta1: 0.8 }, 'first'],
    [{}, { epsilon: 1e-3 }, 'weights'],
    [{}, { clipNorm: 2.2 }, 'first'],
    [{ ema: { decay: 0.2 } }, {}, 'ema'],
    [{ textLossWeight: 0.2 }, {}, 'losses'],
  ];
  for (const [how, optimizer, what] of mistakes) {
    test(JSON.stringify({ ...how, ...optimizer }), async () => {
      const difference = (await train(config(how, optimizer)))[what]!;
      assert.ok(difference > 1e-4, `${what}: ${difference}`);
    });
  }
});
