// The choice of train.recompute where a configuration leaves it open.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { Recompute, Sharding } from '../../../src/config/fields.ts';
import type { ModelKind } from '../../../src/config/kind.ts';
import type { PlannedModel } from '../../../src/train/plan/plan.ts';
import { withRecompute } from '../../../src/train/recompute.ts';
import { createLogger } from '../../../src/util/logger.ts';

/** Bytes of activations of the model that is planned. */
const BYTES = { none: 800, light: 500, full: 200 };

const planned = (_: unknown, recompute: Recompute): PlannedModel => {
  const node = { type: 'Relu', inputShapes: [], shape: [] };
  const nodes = [
    { ...node, inputs: [], bytes: BYTES[recompute] },
    { ...node, inputs: [0], bytes: 0 },
  ];
  const gradients = () => ({ nodes, results: new Set([1]) });
  return {
    ...{ kind: 'dalle', spec: {}, partOf: () => '', trained: new Map(), hasEma: false, gradients },
    ...{ batch: 1, steps: 1, allReduce: 'order', sharding: 'none', examplesAtOnce: () => 1 },
  } as const;
};

interface Where {
  readonly kind?: ModelKind;
  readonly given?: Recompute;
  readonly sharding?: Sharding;
  /** Of a device. */
  readonly memory?: number;
  readonly devices?: number;
  /** Of the run that is resumed. */
  readonly stored?: object;
  readonly cluster?: Partial<Cluster>;
}

async function chosen({
  kind = 'dalle',
  given,
  sharding = 'none',
  memory,
  devices = 1,
  stored,
  cluster,
}: Where) {
  const runtime = {
    gpuMemory: memory,
    replicas: { names: [undefined] as const, areGpus: true, first: 0, count: devices },
  };
  const config = { train: { ...(given && { recompute: given }), sharding, steps: 3 } };
  const context = {
    log: createLogger('error'),
    stored: stored && { model: {}, seed: 0, data: { validation: 0 }, train: stored },
    cluster: cluster as Cluster,
  };
  const { train } = await withRecompute(kind, config, runtime, context, planned);
  assert.deepEqual({ ...train, recompute: given }, { ...config.train, recompute: given });
  return train.recompute;
}

test('what is given is taken', async () => {
  assert.equal(await chosen({ given: 'light', memory: 1e9 }), 'light');
});

test('the fastest that takes at most half of the memory is taken, else the one that takes least', async () => {
  for (const [memory, expected] of [
    [1600, 'none'],
    [1599, 'light'],
    [1000, 'light'],
    [999, 'full'],
    [10, 'full'],
  ] as const)
    assert.equal(await chosen({ memory }), expected, `${memory}`);
  // Its step is no faster with none.
  assert.equal(await chosen({ kind: 'clip', memory: 1e9 }), 'light');
});

test('divided weights are computed again, whatever the memory and the run before', async () => {
  const devices = { sharding: 'parameters', devices: 2, memory: 1e9 } as const;
  assert.equal(await chosen({ ...devices, stored: { recompute: 'none' } }), 'full');
});

test('a resumed run keeps its own; one of before there was a choice was light', async () => {
  assert.equal(await chosen({ memory: 1e9, stored: { recompute: 'full' } }), 'full');
  assert.equal(await chosen({ memory: 1e9, stored: {} }), 'light');
});

test('workers take that of worker 0’s resumed run, else what fits at each of them', async () => {
  const worker = (resumed: string, others: number[]): Partial<Cluster> => ({
    broadcastText: async () => resumed,
    gatherTexts: async (text) => [text, 'elsewhere'],
    gather: async (own) => [own, ...others.map((index) => Float64Array.of(index))],
  });
  assert.equal(await chosen({ memory: 1e9, cluster: worker('full', [0]) }), 'full');
  assert.equal(await chosen({ memory: 1e9, cluster: worker('', [1]) }), 'light');
  assert.equal(await chosen({ memory: 10, cluster: worker('', [0, 1]) }), 'full');
});
