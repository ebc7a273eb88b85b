// Workers found by the variables that Kubernetes' operators and srun set.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstHost, membershipFrom } from '../../../src/cluster/environment.ts';
import { UsageError } from '../../../src/util/errors.ts';

/** As the training operator sets it for a TFJob. */
const tfConfig = (type: string, index: number | string, cluster: object = {}): { TF_CONFIG: string } => ({
  TF_CONFIG: JSON.stringify({
    cluster: {
      chief: ['dalle-chief-0.default.svc:2222'],
      worker: ['dalle-worker-0.default.svc:2222', 'dalle-worker-1.default.svc:2222'],
      ...cluster,
    },
    task: { type, index },
    environment: 'cloud',
  }),
});

test('TF_CONFIG: the chief is worker 0, the workers follow', () => {
  const address = { host: 'dalle-chief-0.default.svc', port: 2222 };
  assert.deepEqual(membershipFrom('tf-config', tfConfig('chief', 0)), { workers: 3, rank: 0, address });
  assert.deepEqual(membershipFrom('tf-config', tfConfig('worker', '1')), { workers: 3, rank: 2, address });
  const withoutChief = tfConfig('worker', 0, { chief: undefined, evaluator: ['dalle-evaluator-0:2222'] });
  assert.deepEqual(membershipFrom('tf-config', withoutChief), {
    workers: 2,
    rank: 0,
    address: { host: 'dalle-worker-0.default.svc', port: 2222 },
  });
});

/** As srun 23.11 sets them for `srun --nodes 2 --ntasks-per-node 2`. */
const slurm = (rank: number, changed: object = {}) => ({
  SLURM_JOB_ID: '4711',
  SLURM_STEP_ID: '2',
  SLURM_STEP_NUM_TASKS: '4',
  SLURM_STEP_NODELIST: 'gpu[03-04]',
  SLURM_NTASKS: '4',
  SLURM_PROCID: String(rank),
  SLURM_LOCALID: String(rank % 2),
  ...changed,
});

test('Slurm: worker 0 is on the first node of the step', () => {
  const first = membershipFrom('slurm', slurm(0));
  assert.deepEqual(first, { workers: 4, rank: 0, address: { host: 'gpu03', port: 15_000 + 4711 + 2 * 97 } });
  assert.deepEqual(membershipFrom('slurm', slurm(3)), { ...first, rank: 3 });
});

test('the first host of a list of nodes', () => {
  for (const [list, host] of [
    ['node1', 'node1'],
    ['node1,node2', 'node1'],
    ['gpu[03-07,12],login1', 'gpu03'],
    ['rack[1-2]n[10,11].cluster', 'rack1n10.cluster'],
    ['', undefined],
    ['gpu[', undefined],
    ['gpu[a-b]', undefined],
  ] as const)
    assert.equal(firstHost(list), host, list);
});

test('variables that are missing or wrong are refused by name', () => {
  const cases: [() => unknown, string, RegExp][] = [
    [() => membershipFrom('tf-config', {}), 'E_TF_CONFIG', /is not set/],
    [() => membershipFrom('tf-config', { TF_CONFIG: '{' }), 'E_TF_CONFIG', /is not JSON/],
    [() => membershipFrom('tf-config', { TF_CONFIG: '{}' }), 'E_TF_CONFIG', /cluster/],
    [() => membershipFrom('tf-config', tfConfig('worker', 2)), 'E_TF_CONFIG', /worker 2 is not among the 3/],
    [() => membershipFrom('tf-config', tfConfig('chief', 1)), 'E_TF_CONFIG', /chief 1 is not among/],
    [() => membershipFrom('tf-config', tfConfig('worker', -1)), 'E_TF_CONFIG', /task\.index/],
    [() => membershipFrom('tf-config', tfConfig('evaluator', 0)), 'E_TF_CONFIG', /does not train/],
    [() => membershipFrom('tf-config', tfConfig('ps', 0)), 'E_TF_CONFIG', /parameter servers/],
    [
      () => membershipFrom('tf-config', tfConfig('worker', 0, { ps: ['a:1'] })),
      'E_TF_CONFIG',
      /parameter servers/,
    ],
    [
      () => membershipFrom('tf-config', tfConfig('chief', 0, { chief: ['nowhere'] })),
      'E_TF_CONFIG',
      /"nowhere" is not an address/,
    ],
    [() => membershipFrom('slurm', {}), 'E_SLURM', /SLURM_STEP_NUM_TASKS is not set/],
    [() => membershipFrom('slurm', slurm(0, { SLURM_PROCID: 'x' })), 'E_SLURM', /SLURM_PROCID is "x"/],
    [() => membershipFrom('slurm', slurm(4)), 'E_SLURM', /task 4 of 4/],
    [() => membershipFrom('slurm', slurm(0, { SLURM_STEP_NODELIST: undefined })), 'E_SLURM', /do not fit/],
  ];
  for (const [run, code, message] of cases)
    assert.throws(run, (error) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });
});
