import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cacheFolder, libraryFolder, locateLibrary } from '../../../../src/engine/library/locate.ts';
import type { ErrorCode } from '../../../../src/util/errors.ts';
import { setEnvironment } from '../../../support/environment.ts';
import { FRAMEWORK, TENSORFLOW, temporaryCache, temporaryFolder, writeFiles } from './fake.ts';

const MANIFEST = {
  version: '2.21.0',
  gpu: true,
  framework: `tensorflow/${FRAMEWORK}`,
  tensorflow: `tensorflow/${TENSORFLOW}`,
  companions: ['nvidia/a/lib/libcudart.so.12'],
};
const FILES = {
  'library.json': JSON.stringify(MANIFEST),
  [MANIFEST.framework]: '',
  [MANIFEST.tensorflow]: '',
  'nvidia/a/lib/libcudart.so.12': '',
};

const asksForSetup = (code: ErrorCode) => ({ name: 'EngineError', code, fix: /mm setup/ });

test('the cache is MM_CACHE, else XDG_CACHE_HOME/mm, else the folder of the system', (t) => {
  setEnvironment(t, { MM_CACHE: '/a/b', XDG_CACHE_HOME: '/x' });
  assert.equal(cacheFolder(), '/a/b');
  setEnvironment(t, { MM_CACHE: undefined });
  assert.equal(cacheFolder(), join('/x', 'mm'));
  setEnvironment(t, { XDG_CACHE_HOME: undefined });
  assert.equal(
    cacheFolder(),
    process.platform === 'darwin' ? join(homedir(), 'Library/Caches/mm') : join(homedir(), '.cache/mm'),
  );
});

test('an installed library is found with absolute paths', async (t) => {
  await temporaryCache(t);
  await writeFiles(libraryFolder(), FILES);
  assert.deepEqual(locateLibrary(), {
    folder: libraryFolder(),
    framework: join(libraryFolder(), MANIFEST.framework),
    tensorflow: join(libraryFolder(), MANIFEST.tensorflow),
    version: '2.21.0',
    gpu: true,
    companions: [join(libraryFolder(), 'nvidia/a/lib/libcudart.so.12')],
  });
});

test('a missing library, a missing file and a broken manifest are errors whose fix is mm setup', async (t) => {
  await temporaryCache(t);
  assert.throws(locateLibrary, asksForSetup('E_LIBRARY_MISSING'));
  await writeFiles(libraryFolder(), FILES);
  for (const path of Object.keys(FILES)) {
    await rm(join(libraryFolder(), path));
    assert.throws(locateLibrary, asksForSetup('E_LIBRARY_INCOMPLETE'), path);
    await writeFiles(libraryFolder(), FILES);
  }
  await writeFile(join(libraryFolder(), 'library.json'), '{');
  assert.throws(locateLibrary, asksForSetup('E_LIBRARY_INCOMPLETE'));
});

test('MM_TENSORFLOW has to be a folder with both libraries', async (t) => {
  await temporaryCache(t);
  const folder = await temporaryFolder(t);
  setEnvironment(t, { MM_TENSORFLOW: folder });
  await writeFiles(folder, { [FRAMEWORK]: '' });
  assert.throws(locateLibrary, asksForSetup('E_LIBRARY_MISSING'));
  await writeFiles(folder, { [TENSORFLOW]: '' });
  assert.equal(locateLibrary().tensorflow, join(folder, TENSORFLOW));
  setEnvironment(t, { MM_TENSORFLOW: join(folder, 'absent') });
  assert.throws(locateLibrary, asksForSetup('E_LIBRARY_MISSING'));
});
