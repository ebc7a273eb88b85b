// mm plan as a user calls it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Context } from '../../src/cli/command.ts';
import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { countParameters } from '../../src/nn/parameters.ts';
import { EXIT } from '../../src/util/errors.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';

const mm = mmTogether();

async function plan(...flags: string[]) {
  const { code, stdout, stderr } = await mm(['plan', '--json', ...flags]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

test('the published model has its parameters, its operations, and its share of memory on 1024 devices', async () => {
  const published = await plan(
    '--config',
    'configs/dalle/12b.yaml',
    '--devices',
    '1024',
    '--sharding',
    'parameters',
  );
  const parameters = countParameters(dalleSpec(dalleModelSchema.parse({ lastAttention: 'conv' })));
  assert.equal(published.parameters.total, parameters);
  const parts = Object.values(published.parameters.parts as Record<string, number>);
  assert.equal(
    parts.reduce((a, b) => a + b),
    parameters,
  );
  // Six operations for each parameter of a product and token, and two more for those that are computed again: all but
  // the feed-forward layers' second product, whose result nobody needs then. Attention adds some.
  const { attention, 'feed-forward': feedForward } = published.parameters.parts;
  const dense = (6 * (attention + feedForward) + 2 * (attention + feedForward / 2)) * 1280 * 1024;
  assert.ok(published.flopsPerStep > dense && published.flopsPerStep < 1.1 * dense, published.flopsPerStep);
  assert.equal(published.memory.weights, Math.ceil((parameters * 4) / 1024));
  assert.equal(published.memory.moments, Math.ceil((parameters * 8) / 1024));
  assert.equal(published.sentPerStep, Math.ceil((3 * parameters * 4 * 1023) / 1024));
  // The input of each layer; and what is gathered, the weights outside the layers and those of a layer.
  const gathered = parameters - (attention + feedForward) * (1 - 1 / 64);
  assert.ok(published.memory.activations < 1.2 * 4 * (64 * 1280 * 3968 + gathered));
  assert.deepEqual(published.memoryByRecompute, { full: published.memory.total });
});

test('stopped by Ctrl-C, or with a sharding that Muon does not go with, mm plan prints nothing', async () => {
  const { command } = await import('../../src/cli/commands/plan.ts');
  const printed: unknown[] = [];
  const context = {
    json: (value: unknown) => void printed.push(value),
    print: (line: string) => void printed.push(line),
    log: { warn: () => {} },
    signal: AbortSignal.abort(),
  } as unknown as Context;
  const flags = {
    set: undefined,
    kind: undefined,
    devices: 1,
    sharding: undefined,
    memory: undefined,
    'tera-flops': undefined,
    bandwidth: undefined,
  };
  const config = 'configs/dalle/demo.yaml';
  for (const given of ['configs/dvae/demo.yaml', config])
    await assert.rejects(command.run({ ...flags, config: given }, context), {
      name: 'InterruptedError',
      code: 'E_INTERRUPTED',
    });
  const sharded = { ...flags, config, devices: 2, sharding: 'optimizer' } as const;
  await assert.rejects(command.run(sharded, context), { code: 'E_PLAN_SHARDING', option: 'sharding' });
  assert.deepEqual(printed, []);
});

describe('smaller ones', () => {
  test('the memory of activations is proportional to the examples at once', async () => {
    const sizes = ['model.grid=8', 'model.imageVocabulary=512'].flatMap((size) => ['--set', size]);
    const demo = ['--config', 'configs/dalle/demo.yaml', ...sizes];
    const whole = await plan(...demo);
    const inParts = await plan(...demo, '--set', 'train.accumulateSteps=4');
    assert.equal(inParts.examplesAtOnce, 4);
    const { none, light, full } = whole.memoryByRecompute;
    assert.ok(none > light && light > full && none === whole.memory.total, `${none} ${light} ${full}`);
    assert.deepEqual([whole.recompute, whole.fastestThatFits], ['none', 'none']);
    const ratio = whole.memory.activations / inParts.memory.activations;
    assert.ok(ratio > 3.5 && ratio < 4.5, `${ratio}`);
    assert.ok(Math.abs(inParts.flopsPerStep / whole.flopsPerStep - 1) < 1e-6);
    // Muon has one moment of each matrix of the 3 layers.
    assert.equal(whole.memory.moments, 4 * (2 * whole.parameters.trained - 3 * 12 * 128 ** 2));
  });

  test('sizes that no part says yet are the published ones, and the plan says so', async () => {
    const { code, stdout, stderr } = await mmAlone([
      ...['plan', '--json', '--config', 'configs/dalle/demo.yaml', '--set', 'data.dvae=nowhere'],
      ...['--set', 'model.grid=4', '--set', 'model.layers=1'],
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /model\.imageVocabulary .*nowhere.* 8192/);
    assert.doesNotMatch(stderr, /model\.(grid|textVocabulary)/);
    // Embeddings and logits of 8192 codes, and a bias each.
    assert.ok(JSON.parse(stdout).parameters.total > 2 * 8192 * 128);
  });

  test('devices hold everything unless it is sharded, and an equal share of the batch', async () => {
    const demo = ['--config', 'configs/dvae/demo.yaml', '--devices', '4'];
    const whole = await plan('--config', 'configs/dvae/demo.yaml');
    const replicas = await plan(...demo);
    const speed = ['--tera-flops', '2', '--bandwidth', '8'];
    const sharded = await plan(...demo, '--set', 'train.sharding=optimizer', ...speed);
    assert.equal(replicas.examplesAtOnce, whole.examplesAtOnce / 4);
    assert.equal(replicas.memory.moments, whole.memory.moments);
    assert.equal(replicas.sentPerStep, (2 * 4 * whole.parameters.trained * 3) / 4);
    // Moments, and the slice of the weights that is updated.
    assert.equal(sharded.memory.moments, Math.ceil((1.5 * whole.memory.moments) / 4));
    assert.equal(sharded.memory.gradients, whole.memory.gradients);
    assert.deepEqual(sharded.secondsPerStep, {
      compute: whole.flopsPerStep / 4 / 2e12,
      exchange: (3 * 4 * whole.parameters.trained * 3) / 4 / 1e9,
    });
  });

  test('a file is recognized as a CLIP’s by its two towers', async () => {
    const { kind, parameters } = await plan('--config', 'configs/clip/demo.yaml');
    assert.equal(kind, 'clip');
    assert.deepEqual(Object.keys(parameters.parts).sort(), ['image', 'logit_scale', 'text']);
  });

  test('a file is recognized as a dVAE’s by its image size', async () => {
    const { kind, parameters } = await plan('--config', 'configs/dvae/demo.yaml');
    assert.equal(kind, 'dvae');
    assert.deepEqual(Object.keys(parameters.parts), ['encoder', 'decoder']);
  });
});

test('a file that is missing, and no devices, are refused', async () => {
  for (const [flags, expected] of [
    [['--config', 'nowhere.yaml'], /nowhere\.yaml\n.*\n {2}code: E_CONFIG_FILE\n$/],
    [
      ['--config', 'configs/dalle/demo.yaml', '--devices', '0'],
      /received 0\n {2}at: {2}--devices\n.*\n {2}code: E_OPTION_VALUE\n$/,
    ],
  ] as const) {
    const { code, stderr } = await mm(['plan', ...flags]);
    assert.equal(code, EXIT.usage, stderr);
    assert.match(stderr, expected);
  }
});
