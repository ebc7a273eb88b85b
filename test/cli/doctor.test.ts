// mm doctor as a user calls it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '../../src/cli/diagnosis.ts';
import { checkDisk, checkEngine, checkNode } from '../../src/cli/diagnosis.ts';
import { type LibraryFiles, locateLibrary } from '../../src/engine/library/locate.ts';
import { setEnvironment } from '../support/environment.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import {
  FRAMEWORK,
  PROBED,
  TENSORFLOW,
  temporaryCache,
  temporaryFolder,
  writeFiles,
} from '../unit/engine/library/fake.ts';

const mm = mmTogether();

interface Report {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

const isInstalled = (): boolean => {
  try {
    return locateLibrary().folder !== '';
  } catch {
    return false;
  }
};

test('with everything in place each line is ok or a warning', {
  skip: !isInstalled() && 'no library installed',
}, async () => {
  const { code, stdout, stderr } = await mmAlone(['doctor', '--json']);
  const { ok, findings } = JSON.parse(stdout) as Report;
  assert.deepEqual(
    findings.filter(({ status }) => status === 'FAIL'),
    [],
  );
  assert.equal(ok, true);
  assert.equal(code, 0, stderr);
  const names = findings.map(({ name }) => name);
  assert.deepEqual(names, [
    'node',
    'platform',
    'machine',
    'disk',
    'tfjs',
    'sharp',
    'koffi',
    'libtensorflow',
    'gpu',
    'self-test',
  ]);
  assert.match(findings.at(-1)?.detail ?? '', /TensorFlow \d+\.\d+\.\d+ computes on CPU:0/);
});

test('without the library, its line says mm setup, and the exit code is 4', async (t) => {
  await temporaryCache(t);
  const { code, stdout, stderr } = await mm(['doctor']);
  assert.equal(code, 4);
  assert.match(stdout, /^FAIL +libtensorflow +libtensorflow is not installed .*\n +fix: mm setup/m);
  assert.doesNotMatch(stdout, /self-test/);
  assert.match(stderr, /^error: .*libtensorflow\n {2}fix: mm setup.*\n {2}code: E_DOCTOR\n$/);
});

test('with a library that does not load, the self-test fails with a fix, and the exit code is 4', async (t) => {
  await temporaryCache(t);
  const folder = await temporaryFolder(t);
  await writeFiles(folder, { [FRAMEWORK]: 'no library', [TENSORFLOW]: 'no library' });
  setEnvironment(t, { MM_TENSORFLOW: folder });
  const { code, stdout } = await mm(['doctor', '--json']);
  assert.equal(code, 4);
  const [report = '', failure = ''] = stdout.trim().split('\n');
  assert.equal((JSON.parse(failure) as { error: { code: string } }).error.code, 'E_DOCTOR');
  const failed = (JSON.parse(report) as Report).findings.filter(({ status }) => status === 'FAIL');
  assert.deepEqual(
    failed.map(({ name }) => name),
    ['self-test'],
  );
  assert.ok(failed[0]?.fix);
});

test('an old Node fails', () => {
  assert.equal(checkNode('20.18.3').status, 'FAIL');
  for (const version of ['20.19.0', '22.1.0', '24.0.0'])
    assert.equal(checkNode(version).status, 'ok', version);
});

test('free space is found for a cache that does not exist yet', async () => {
  assert.match((await checkDisk('/tmp/not/there/yet')).detail, /GB free for \/tmp\/not\/there\/yet$/);
});

test('a CUDA build that sees no GPU is a warning', async () => {
  const library: LibraryFiles = {
    folder: '/x',
    framework: '',
    tensorflow: '',
    version: '2.21.0',
    gpu: true,
    companions: [],
  };
  const seeing = (...devices: string[]) =>
    checkEngine(library, undefined, async () => ({
      ...PROBED,
      devices: devices.map((name) => `/job:localhost/replica:0/task:0/device:${name}`),
    }));
  assert.equal((await seeing('CPU:0')).status, 'warning');
  assert.equal((await seeing('CPU:0', 'XLA_GPU:0')).status, 'warning');
  assert.equal((await seeing('CPU:0', 'GPU:0')).status, 'ok');
});
