// mm setup as a user calls it.

import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { libraryFolder } from '../../src/engine/library/locate.ts';
import { mm as mmAlone } from '../support/mm.ts';
import { mmTogether } from '../support/mm-each.ts';
import {
  FRAMEWORK,
  TENSORFLOW,
  temporaryCache,
  temporaryFolder,
  WHEEL,
  WHEEL_CONTENTS,
  writeFiles,
  zip,
} from '../unit/engine/library/fake.ts';

const mm = mmTogether();

test('an installed library is found at once, for people and for programs', async (t) => {
  await temporaryCache(t);
  const folder = libraryFolder();
  const manifest = {
    version: '2.21.0',
    gpu: false,
    framework: FRAMEWORK,
    tensorflow: TENSORFLOW,
    companions: [],
  };
  await writeFiles(folder, { 'library.json': JSON.stringify(manifest), [FRAMEWORK]: '', [TENSORFLOW]: '' });
  assert.deepEqual(await mmAlone(['setup']), {
    code: 0,
    stdout: `libtensorflow 2.21.0 for the CPU is already in ${folder}\n`,
    stderr: '',
  });
  const { stdout } = await mm(['setup', '--json']);
  assert.deepEqual(JSON.parse(stdout), { folder, version: '2.21.0', gpu: false, changed: false });
});

test('a wheel whose library does not load is not installed', async (t) => {
  const cache = await temporaryCache(t);
  const wheel = join(await temporaryFolder(t), WHEEL);
  await writeFile(wheel, zip(WHEEL_CONTENTS));
  const { code, stdout, stderr } = await mm(['setup', '--from', wheel]);
  assert.equal(code, 4);
  assert.equal(stdout, '');
  assert.match(stderr, /^error: .*\n {2}at: {2}.*\n {2}fix: .*\n {2}code: E_LIBRARY_LOAD\n$/);
  assert.deepEqual(await readdir(cache), []);
});

test('a path that does not exist is exit code 3, a wrong flag 2', async (t) => {
  await temporaryCache(t);
  const absent = await mm(['setup', '--from', '/nowhere/at/all']);
  assert.equal(absent.code, 3);
  assert.match(
    absent.stderr,
    /^error: .*\n {2}at: {2}\/nowhere\/at\/all\n {2}fix: .*wheel.*\n {2}code: E_NOT_FOUND\n$/,
  );
  const wrong = await mm(['setup', '--gpus']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, / {2}at: {2}--gpus\n[\s\S]*E_FLAG_UNKNOWN/);
});
