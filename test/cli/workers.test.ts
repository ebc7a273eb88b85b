// mm train-dalle by several processes: started by mm launch, or each by itself as on several machines.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { EXIT } from '../../src/util/errors.ts';
import { assertInterrupted, signalWhen } from '../support/interruption.ts';
import { mm, type Outcome } from '../support/mm.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { lasting } from '../support/tiny-runs.ts';

const STEPS = 20;

const { root, config, train } = tinyDalle('workers', STEPS);
const alone = join(root, 'alone');

/** `mm launch` of the training command. */
const launch = (
  run: string,
  flags: readonly string[],
  ofTraining: readonly string[] = [],
  watch?: (child: ChildProcess) => void,
): Promise<Outcome> =>
  mm(['launch', ...flags, '--', 'train-dalle', '--config', config, '--run', run, ...ofTraining], watch);

/** Kills a worker that `child` has started, once, as soon as `isThere` returns true. */
async function killWorker(
  rank: number,
  run: string,
  isThere: () => boolean,
  child: ChildProcess,
): Promise<void> {
  while (child.exitCode === null && !isThere()) await setTimeout(2);
  const parent = new RegExp(`^PPid:\\t${child.pid}$`, 'm');
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0');
      const isOwn = parent.test(readFileSync(`/proc/${id}/status`, 'utf8'));
      if (isOwn && words.includes(run) && words[words.indexOf('--rank') + 1] === String(rank))
        process.kill(Number(id), 'SIGKILL');
    } catch {
      // Ended meanwhile.
    }
  }
}

/** The files of a finished run without its configuration. */
const made = (run: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(lasting(run)).filter(
      ([name]) => !/(config\.yaml|state\.json)$|^checkpoints\/step-(?!20\/)/.test(name),
    ),
  );

before(async () => {
  const { code, stderr } = await train(alone, ['--set', 'train.accumulateSteps=2']);
  assert.equal(code, 0, stderr);
});

test('Ctrl-C stops both workers after saving, and the resumed run equals that of one process', async () => {
  const run = join(root, 'interrupted');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-5'));
  const { code, stderr } = await launch(run, ['--workers', '2'], [], signalWhen('SIGINT', isThere));
  assert.equal(code, EXIT.interrupted, stderr);
  assertInterrupted(stderr, STEPS);
  assert.equal(stderr.match(/^error: /gm)?.length, 1, stderr);
  const again = await launch(run, ['--workers', '2'], ['--resume', '--json']);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, / from step \d+\n/);
  assert.equal(again.stdout.split('\n').length, 2, again.stdout);
  assert.equal((JSON.parse(again.stdout) as { steps: number }).steps, STEPS);
  assert.deepEqual(made(run), made(alone));
});

test('a launch whose worker is killed starts all again from the last checkpoint, and equals the undisturbed run', async () => {
  const run = join(root, 'restarted');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-5'));
  const { code, stderr } = await launch(run, ['--workers', '2', '--restarts', '1'], [], (child) =>
    killWorker(1, run, isThere, child),
  );
  assert.equal(code, 0, stderr);
  assert.match(stderr, /worker 1 was ended by SIGKILL; restart 1 of 1 .*2 workers/);
  assert.deepEqual(made(run), made(alone));
});

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** The two processes of a run, each started by itself; worker 1 would write to another folder. */
async function pair(
  run: string,
  flags: readonly string[],
  watch?: ReturnType<typeof signalWhen>,
): Promise<[Outcome, Outcome]> {
  const common = ['--workers', '2', '--join', `127.0.0.1:${await freePort()}`, ...flags];
  return Promise.all([
    train(run, [...common, '--rank', '0']),
    train(join(root, 'nowhere'), [...common, '--rank', '1'], watch),
  ]);
}

test('a killed worker is named by the other, which ends; the run resumes from its last checkpoint', async () => {
  const run = join(root, 'killed');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-10'));
  const [first, second] = await pair(run, [], signalWhen('SIGKILL', isThere));
  assert.equal(second.code, null);
  assert.equal(first.code, EXIT.data, first.stderr);
  assert.match(first.stderr, /^error: worker 1: .*\n {2}fix: .*--resume.*\n {2}code: E_WORKER_LOST\n/m);
  // Resumed with worker 0 as Kubernetes starts it, and worker 1 as srun does.
  const port = 15_000 + (process.pid % 20_000);
  const cluster = { worker: [`127.0.0.1:${port}`, 'elsewhere:1'] };
  const [again, other] = await Promise.all([
    train(run, ['--workers-from', 'tf-config', '--resume'], undefined, {
      TF_CONFIG: JSON.stringify({ cluster, task: { type: 'worker', index: 0 } }),
    }),
    train(join(root, 'nowhere'), ['--workers-from', 'slurm', '--resume'], undefined, {
      SLURM_JOB_ID: String(process.pid),
      SLURM_STEP_ID: '0',
      SLURM_STEP_NUM_TASKS: '2',
      SLURM_STEP_NODELIST: '127.0.0.1',
      SLURM_PROCID: '1',
    }),
  ]);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(other.code, 0, other.stderr);
  assert.equal(other.stdout, '');
  assert.deepEqual(made(run), made(alone));
  assert.ok(!existsSync(join(root, 'nowhere')));
});

const machine = (address: string, rank = '1'): string[] => [
  ...['--workers', '2', '--rank', rank, '--join', address],
];
const refusals: Record<string, Refusal> = {
  'a rank without an address is refused': {
    flags: ['--workers', '2', '--rank', '1'],
    exit: EXIT.usage,
    code: 'E_WORKER_FLAGS',
    at: '--join',
    says: [/--join/],
  },
  'an address that is none is refused': {
    flags: machine('here'),
    exit: EXIT.usage,
    code: 'E_ADDRESS',
    at: '--join',
    says: [/"here"/],
  },
  'a rank beyond the last is refused': {
    flags: machine('127.0.0.1:1', '2'),
    exit: EXIT.usage,
    code: 'E_OPTION_VALUE',
    at: '--rank',
    says: [/from 0 to 1, received 2/],
  },
  'workers alone are refused, with the command that starts them': {
    flags: ['--workers', '2'],
    exit: EXIT.usage,
    code: 'E_WORKER_FLAGS',
    at: '--rank',
    says: [/mm launch/],
  },
  'workers of Slurm without srun are refused': {
    flags: ['--workers-from', 'slurm'],
    exit: EXIT.usage,
    code: 'E_SLURM',
    at: 'SLURM_STEP_NUM_TASKS',
    says: [/srun/],
  },
  'workers of TF_CONFIG and of flags are refused': {
    flags: ['--workers-from', 'tf-config', '--workers', '2'],
    exit: EXIT.usage,
    code: 'E_WORKER_FLAGS',
    at: '--workers-from',
  },
  'half a worker is refused': {
    flags: ['--workers', '1.5'],
    exit: EXIT.usage,
    code: 'E_OPTION_VALUE',
    at: '--workers',
    says: [/from 1 to 1024, received 1\.5/],
  },
  'several machines without a secret are refused': {
    flags: machine('192.0.2.1:29500'),
    exit: EXIT.usage,
    code: 'E_SECRET_MISSING',
    says: [/MM_WORKERS_SECRET/],
  },
  'a worker 0 that does not answer is given up': {
    flags: [...machine('127.0.0.1:1'), '--worker-timeout', '0.5'],
    exit: EXIT.data,
    code: 'E_WORKER_MISSING',
    says: [/0\.5 seconds/],
  },
};
const ofTraining = ['--config', config, '--run', join(root, 'never')];
testRefusals({
  ...Object.fromEntries(
    Object.entries(refusals).map(([name, { flags, ...refusal }]) => [
      name,
      { ...refusal, flags: ['train-dalle', ...ofTraining, ...flags] },
    ]),
  ),
  'a launch of another command is refused': {
    flags: ['launch', '--workers', '2', '--', 'sample', '--prompt', 'a'],
    exit: EXIT.usage,
    code: 'E_LAUNCH',
    says: [/sample cannot be launched/],
  },
  'a launch that numbers its workers is refused': {
    flags: ['launch', '--workers', '2', '--', 'train-clip', '--rank=1'],
    exit: EXIT.usage,
    code: 'E_WORKER_FLAGS',
    says: [/--rank=1/],
  },
  'a launch with more workers at least than at first is refused': {
    flags: ['launch', '--workers', '2', '--min-workers', '3', '--', 'train-dalle', ...ofTraining],
    exit: EXIT.usage,
    code: 'E_OPTION_VALUE',
    at: '--min-workers',
    says: [/from 1 to 2, received 3/],
  },
});
