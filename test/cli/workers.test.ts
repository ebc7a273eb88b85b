// mm train-dalle by several processes: started by the first one, or each by itself as on several machines.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { EXIT } from '../../src/util/errors.ts';
import { signalWhen } from '../support/interruption.ts';
import type { Outcome } from '../support/mm.ts';
import { type Refusal, testRefusals } from '../support/refusal.ts';
import { tinyDalle } from '../support/tiny-dalle.ts';
import { lasting } from '../support/tiny-runs.ts';

const STEPS = 20;

const { root, config, train } = tinyDalle('workers', STEPS);
const alone = join(root, 'alone');

/** What a run leaves in the end but for its configuration. */
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

test('--workers 2: Ctrl-C stops both after saving, and they go on to be the same as one process', async () => {
  const run = join(root, 'interrupted');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-5'));
  const { code, stderr } = await train(run, ['--workers', '2'], signalWhen('SIGINT', isThere));
  assert.equal(code, EXIT.interrupted, stderr);
  assert.match(
    stderr,
    /error: stopped at step \d+ of 20\n {2}at: {2}.*step-\d+\n {2}fix: go on with --resume/,
  );
  const again = await train(run, ['--workers', '2', '--resume', '--json']);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /going on from step/);
  assert.equal(again.stdout.split('\n').length, 2, again.stdout);
  assert.equal((JSON.parse(again.stdout) as { steps: number }).steps, STEPS);
  assert.deepEqual(made(run), made(alone));
});

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** The two processes of a run, each started by itself; what the second wrote it would write elsewhere. */
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

test('one that is killed is named by the other, which ends; the run goes on from its last checkpoint', async () => {
  const run = join(root, 'killed');
  const isThere = (): boolean => existsSync(join(run, 'checkpoints', 'step-10'));
  const [first, second] = await pair(run, [], signalWhen('SIGKILL', isThere));
  assert.equal(second.code, null);
  assert.equal(first.code, EXIT.data, first.stderr);
  assert.match(first.stderr, /^error: worker 1: it was lost: .*\n {2}fix: .*--resume/m);
  const [again, other] = await pair(run, ['--resume']);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(other.code, 0, other.stderr);
  assert.equal(other.stdout, '');
  assert.deepEqual(made(run), made(alone));
  assert.ok(!existsSync(join(root, 'nowhere')));
});

const refusals: Record<string, Refusal> = {
  'a rank without an address': {
    flags: ['--workers', '2', '--rank', '1'],
    code: EXIT.usage,
    says: [/--rank and --join go together, with --workers/, /--workers alone/],
  },
  'an address that is none': {
    flags: ['--workers', '2', '--rank', '1', '--join', 'here'],
    code: EXIT.usage,
    says: [/"here" is no address/, /--join 10\.0\.0\.1:29500/],
  },
  'a rank beyond the last': {
    flags: ['--workers', '2', '--rank', '2', '--join', '127.0.0.1:1'],
    code: EXIT.usage,
    says: [/--rank 2 is no whole number from 0 to 1/],
  },
  'half a worker': {
    flags: ['--workers', '1.5'],
    code: EXIT.usage,
    says: [/--workers 1\.5 is no whole number from 1 to 1024/],
  },
  'several machines without a secret': {
    flags: ['--workers', '2', '--rank', '1', '--join', '192.0.2.1:29500'],
    code: EXIT.usage,
    says: [/need a secret/, /MM_WORKERS_SECRET/],
  },
  'a worker 0 that is not there': {
    flags: ['--workers', '2', '--rank', '1', '--join', '127.0.0.1:1', '--worker-timeout', '0.5'],
    code: EXIT.data,
    says: [/did not come together in 0\.5 seconds/, /start all of them/],
  },
};
testRefusals(
  Object.fromEntries(
    Object.entries(refusals).map(([name, { flags, ...refusal }]) => [
      name,
      { ...refusal, flags: ['train-dalle', '--config', config, '--run', join(root, 'never'), ...flags] },
    ]),
  ),
);
