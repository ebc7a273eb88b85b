// Steps of the joint Transformer in float16, steps that diverge, and runs initialized with the weights of a checkpoint.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readCheckpoint } from '../../../../src/checkpoint/read.ts';
import { type DalleConfig, dalleSchema } from '../../../../src/config/dalle.ts';
import type { HostTensor } from '../../../../src/engine/native/tensor.ts';
import { Runtime } from '../../../../src/engine/session/runtime.ts';
import { dalleSpec } from '../../../../src/models/dalle/model.ts';
import { Weights } from '../../../../src/nn/weights.ts';
import { trainedEntries } from '../../../../src/train/dalle/freeze.ts';
import { DalleStep } from '../../../../src/train/dalle/step.ts';
import { stepKey } from '../../../../src/train/loop/scalars.ts';
import { initialize } from '../../../../src/train/loop/state.ts';
import { Adam } from '../../../../src/train/optim/adam.ts';
import { BlockLossScale } from '../../../../src/train/optim/block-loss-scale.ts';
import { Ema } from '../../../../src/train/optim/ema.ts';
import { DataError, UsageError } from '../../../../src/util/errors.ts';
import { RandomStream } from '../../../../src/util/random.ts';
import { dalleConfig, dalleDataIn, dalleSession, writeDalleData } from '../../../support/tiny-runs.ts';

const LAYERS = 3;
const random = new RandomStream('dalle step');
const batch = {
  count: 2,
  text: Int32Array.from({ length: 2 * 6 }, () => random.integer(10)),
  image: Int32Array.from({ length: 2 * 16 }, () => random.integer(8)),
};

const config = (train: object): DalleConfig =>
  dalleSchema.parse({
    data: { path: 'nowhere', dvae: 'nowhere', tokenizer: 'nowhere' },
    model: {
      textLength: 6,
      textVocabulary: 10,
      grid: 4,
      imageVocabulary: 8,
      width: 16,
      layers: LAYERS,
      heads: 2,
    },
    train: {
      steps: 3,
      batch: 2,
      optimizer: { learningRate: { peak: 1e-2 }, weightDecay: 0.1 },
      ema: { decay: 0.5 },
      ...train,
    },
  });

const runtimes: Runtime[] = [];
after(async () => {
  for (const runtime of runtimes) await runtime.close();
});

async function setUp(train: object = {}) {
  const how = config(train);
  const runtime = new Runtime();
  runtimes.push(runtime);
  const weights = new Weights(runtime, 'dalle', dalleSpec(how.model));
  const optimizer = new Adam(runtime, 'dalle', weights.entries, how.train.optimizer);
  const ema = new Ema(runtime, 'dalle', weights, how.train.ema!);
  const lossScale =
    how.train.precision === 'float16'
      ? new BlockLossScale(runtime, 'dalle', LAYERS, how.train.blockLossScale)
      : undefined;
  const state = { weights, trained: weights.entries, optimizer, ema, lossScale };
  const step = new DalleStep(runtime, how, state);
  await initialize(runtime, state, 1);
  return { ...state, step, run: () => step.run(batch, 0, 1e-2, stepKey(0, 0)) };
}

type Values = ReadonlyMap<string, HostTensor>;
const isSame = (a: Values, b: Values, name: string): boolean =>
  Buffer.from((a.get(name)!.data as Float32Array).buffer).equals(
    Buffer.from((b.get(name)!.data as Float32Array).buffer),
  );

describe('float16', () => {
  test('an overflow in one resblock skips the update and lowers the scale of that block alone', async () => {
    const { run, weights, optimizer, ema, lossScale } = await setUp({ precision: 'float16' });
    const scales = [8192, 2 ** 60, 512];
    const load = (values: number[]) =>
      lossScale!.state.load(
        new Map([
          ['lossScale.blocks', { dtype: 'float32', shape: [LAYERS], data: Float32Array.from(values) }],
          [
            'lossScale.skipped',
            { dtype: 'float32', shape: [LAYERS + 1], data: new Float32Array(LAYERS + 1) },
          ],
        ]),
      );
    await load(scales);
    const save = async () => ({
      weights: await weights.save(),
      ema: await ema.weights.save(),
      moments: await optimizer.moments.save(),
    });
    const before = await save();
    const { loss, skippedUpdates } = await run();
    assert.ok(Number.isFinite(loss));
    assert.equal(skippedUpdates, 1);
    const after = await save();
    for (const name of before.weights.keys()) {
      const isSkipped = name.startsWith('blocks.block_2.');
      assert.equal(isSame(before.weights, after.weights, name), isSkipped, name);
      assert.equal(isSame(before.ema, after.ema, name), isSkipped, `EMA of ${name}`);
      for (const moment of [`m.${name}`, `v.${name}`])
        assert.equal(isSame(before.moments, after.moments, moment), isSkipped, moment);
    }
    const state = await lossScale!.state.save();
    assert.deepEqual([...state.get('lossScale.skipped')!.data], [0, 1, 0, 0]);
    const grown = 2 ** (1 / 1000);
    const expected = [8192 * grown, 2 ** 60 * Math.SQRT1_2, 512 * grown];
    for (const [i, scale] of [...state.get('lossScale.blocks')!.data].entries())
      assert.ok(Math.abs(Number(scale) / expected[i]! - 1) < 1e-6, `scale ${i}: ${scale}`);
  });

  test('gradients without an overflow equal those of float32, within 16 bits', async () => {
    const first = async (train: object): Promise<Values> => {
      const { run, optimizer } = await setUp(train);
      await run();
      return optimizer.moments.save();
    };
    const [half, whole] = [await first({ precision: 'float16' }), await first({})];
    for (const [name, { data }] of whole) {
      if (!name.startsWith('m.')) continue;
      const values = half.get(name)!.data as Float32Array;
      const norm = Math.hypot(...(data as Float32Array));
      const far = Math.hypot(...Array.from(values, (value, i) => value - (data as Float32Array)[i]!));
      assert.ok(far < 0.02 * norm + 1e-9, `${name}: ${far} of ${norm}`);
    }
  });
});

describe('a step that is not finite', () => {
  test('changes nothing; its first tensor that is not finite is named with its layer and line', async () => {
    for (const train of [{}, { accumulateSteps: 2 }, { recompute: 'full' }]) {
      const { run, weights, optimizer, step } = await setUp(train);
      assert.equal(await step.firstNonFinite(batch, stepKey(0, 0)), undefined);
      const values = new Map(await weights.save());
      const name = 'blocks.block_2.feed_forward.expand.weight';
      const { shape, data } = values.get(name)!;
      values.set(name, {
        dtype: 'float32',
        shape,
        data: Float32Array.from(data as Float32Array, () => 3e38),
      });
      await weights.load(values);
      const moments = await optimizer.moments.save();
      const { loss, gradientNorm } = await run();
      assert.ok(!Number.isFinite(loss) || !Number.isFinite(gradientNorm));
      const after = await weights.save();
      for (const key of values.keys()) assert.ok(isSame(values, after, key), key);
      const momentsAfter = await optimizer.moments.save();
      for (const key of moments.keys()) assert.ok(isSame(moments, momentsAfter, key), key);
      const found = await step.firstNonFinite(batch, stepKey(0, 0));
      assert.match(found!, /the result of \w+ \(made of layer 2 by .*src\/nn\/linear\.ts:\d+/);
    }
  });
});

describe('a run', () => {
  const root = mkdtempSync(join(tmpdir(), 'mm-dalle-step-'));
  const data = dalleDataIn(root);
  const origin = join(root, 'origin');
  const short = { steps: 2, evaluateEvery: 2, saveEvery: 2, samples: { count: 0 } };
  before(async () => {
    await writeDalleData(root, 8);
    await dalleSession(dalleConfig(data, 0, short))(origin);
  });
  after(() => rmSync(root, { recursive: true }));

  test('that diverges ends with the step, the first tensor, the images of the batch, and a good checkpoint', async () => {
    const run = join(root, 'diverging');
    const optimizer = { learningRate: { peak: 1e30 }, weightDecay: 0 };
    const wild = dalleConfig(data, 0, { ...short, steps: 10, saveEvery: 1, optimizer });
    await assert.rejects(dalleSession(wild)(run), (error: DataError) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'E_DIVERGED');
      assert.match(error.message, /step 2; .*\w+ \(made/);
      assert.match(error.message, /(\w\/\d{3}(, )?){4}$/);
      return true;
    });
    const { state } = await readCheckpoint(run, { kind: 'dalle', warn: assert.fail });
    assert.equal(state.step, 1);
  });

  test('starts with the weights of a checkpoint, its text longer and a layer frozen', async () => {
    const run = join(root, 'tuned');
    const tiny = dalleConfig(data, 3, {
      ...short,
      initFrom: origin,
      freeze: ['image_embedding', 'blocks.block_1'],
    });
    const longer = { ...tiny, model: { ...tiny.model, textLength: 15 } };
    await dalleSession(longer)(run);
    const read = async (path: string, part: 'model' | 'ema') =>
      (await readCheckpoint(path, { kind: 'dalle', warn: assert.fail })).read(part);
    const [before, tuned, ema] = [
      await read(origin, 'ema'),
      await read(run, 'model'),
      await read(run, 'ema'),
    ];
    for (const [name, tensor] of before) {
      const isFrozen = name === 'image_embedding' || name.startsWith('blocks.block_1.');
      const ours = tuned.get(name)!;
      if (isFrozen) {
        assert.deepEqual(ours.data, tensor.data, name);
        assert.deepEqual(ema.get(name)!.data, tensor.data, `EMA of ${name}`);
        continue;
      }
      // Two small steps from the initial weights, apart from the new rows.
      const far = (tensor.data as Float32Array).map((value, i) => Math.abs(value - Number(ours.data[i])));
      assert.ok(Math.max(...far) > 0 && Math.max(...far) < 0.02, `${name}: ${Math.max(...far)}`);
    }
    assert.deepEqual(tuned.get('text_position')!.shape, [15, tiny.model.width]);
  });

  test('is refused when the checkpoint has another model, or a frozen name matches no weight', async () => {
    const tiny = dalleConfig(data, 0, { ...short, initFrom: origin });
    const narrow = { ...tiny, model: { ...tiny.model, layers: 3 } };
    await assert.rejects(dalleSession(narrow)(join(root, 'narrow')), (error: UsageError) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.code, 'E_INIT_FROM_MODEL');
      return /\blayers\b/.test(error.message);
    });
    const misspelt = dalleConfig(data, 0, { ...short, freeze: ['block_1'] });
    await assert.rejects(dalleSession(misspelt)(join(root, 'misspelt')), {
      code: 'E_FREEZE',
      where: 'train.freeze',
      message: /\bblock_1\b/,
    });
  });

  test('is refused when everything is frozen', () => {
    const names = ['start', 'norm'];
    const entries = new Map(names.map((name) => [name, {} as never]));
    assert.throws(() => trainedEntries(entries, names), { name: 'UsageError', code: 'E_FREEZE' });
  });
});
