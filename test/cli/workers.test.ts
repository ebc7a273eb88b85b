// mm train-dalle by several processes: started by mm launch, or each by itself as on several machines, by the commands
// of docs/CLUSTER.md.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { EXIT } from '../../src/util/errors.ts';
import { assertInterrupted, signalWhen } from '../support/interruption.ts';
import { MM, mm, type Outcome, run as runCommand } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { lasting } from '../support/tiny-runs.ts';

const STEPS = 20;

const together = mmTogether();
const { root, path, dvae, config, train } = tinyDalle('workers', STEPS, prepare);
const alone = join(root, 'alone');
const tokens = join(root, 'tokens');

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

/** Makes the tokens, and the run of one process. */
async function prepare(): Promise<void> {
  const made = await together(['tokenize', '--data', path, '--dvae', dvae, '--out', tokens]);
  assert.equal(made.code, 0, made.stderr);
  const { code, stderr } = await train(alone, ['--tokens', tokens, '--set', 'train.accumulateSteps=2']);
  assert.equal(code, 0, stderr);
}

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

const PAGE = readFileSync(fileURLToPath(new URL('../../docs/CLUSTER.md', import.meta.url)), 'utf8');

/** The code under a heading of docs/CLUSTER.md. */
const codeUnder = (heading: string): string =>
  PAGE.split(`\n### ${heading}\n`)[1]
    ?.split('\n### ')[0]
    ?.match(/```\w+\n(.*?)```/s)?.[1] as string;

interface Container {
  readonly command: string[];
  readonly args: string[];
  readonly env: { readonly name: string }[];
  readonly volumeMounts: { readonly mountPath: string }[];
}

/** Both containers of the page's Kubernetes manifest, whose volume is `root`, with TF_CONFIG as TFJob sets it. */
async function pods(watch: ReturnType<typeof signalWhen>): Promise<[Outcome, Outcome]> {
  const { tfReplicaSpecs } = parse(codeUnder('Kubernetes')).spec;
  const [container] = tfReplicaSpecs.Worker.template.spec.containers as [Container];
  const [{ mountPath }] = container.volumeMounts as [Container['volumeMounts'][number]];
  const [program, ...flags] = [...container.command, ...container.args].map((word) =>
    word.startsWith(`${mountPath}/`) ? root + word.slice(mountPath.length) : word,
  );
  assert.equal(program, 'mm');
  const worker = [`127.0.0.1:${await freePort()}`, 'dalle-worker-1.default.svc:2222'];
  const pod = (index: number, by?: ReturnType<typeof signalWhen>): Promise<Outcome> =>
    runCommand([...MM, ...flags], {
      cwd: root,
      watch: by,
      env: {
        TF_CONFIG: JSON.stringify({ cluster: { worker }, task: { type: 'worker', index } }),
        ...Object.fromEntries(container.env.map(({ name }) => [name, 'of the test'])),
      },
    });
  return Promise.all([pod(0), pod(1, watch)]);
}

/** The page's batch script, in a folder with this `mm`, and with an `srun` that starts both tasks here. */
async function batchScript(): Promise<Outcome> {
  const bin = join(root, 'bin');
  const quoted = MM.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const commands = {
    mm: `exec ${quoted} "$@"`,
    srun: 'SLURM_PROCID=1 "$@" & SLURM_PROCID=0 "$@" && wait $!',
  };
  mkdirSync(bin);
  for (const [name, command] of Object.entries(commands)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${command}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return runCommand(['bash', '-c', codeUnder('Slurm')], {
    cwd: root,
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      SLURM_JOB_ID: String(process.pid),
      SLURM_STEP_ID: '0',
      SLURM_STEP_NUM_TASKS: '2',
      SLURM_STEP_NODELIST: '127.0.0.1',
    },
  });
}

test('a killed pod is named by the other, which ends; the batch script of Slurm resumes from the last checkpoint', async () => {
  mkdirSync(join(root, 'configs/dalle'), { recursive: true });
  symlinkSync(config, join(root, 'configs/dalle/small.yaml'));
  mkdirSync(join(root, 'runs'));
  symlinkSync(tokens, join(root, 'runs/tokens'));
  const run = join(root, 'runs/dalle');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-10'));
  const [first, second] = await pods(signalWhen('SIGKILL', isThere));
  assert.equal(second.code, null, second.stderr);
  assert.equal(first.code, EXIT.data, first.stderr);
  assert.match(first.stderr, /^error: worker 1: .*\n {2}fix: .*--resume.*\n {2}code: E_WORKER_LOST\n/m);
  const resumed = await batchScript();
  assert.equal(resumed.code, 0, resumed.stderr);
  assert.match(resumed.stderr, / from step \d+\n/);
  assert.deepEqual(made(run), made(alone));
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
