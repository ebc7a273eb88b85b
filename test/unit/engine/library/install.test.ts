import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type InstallOptions, installLibrary } from '../../../../src/engine/library/install.ts';
import { libraryFolder, locateLibrary } from '../../../../src/engine/library/locate.ts';
import { EngineError } from '../../../../src/util/errors.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { programFile, TYPESCRIPT } from '../../../support/typescript.ts';
import {
  FRAMEWORK,
  PROBED,
  TENSORFLOW,
  temporaryCache,
  temporaryFolder,
  WHEEL,
  WHEEL_CONTENTS,
  zip,
} from './fake.ts';

const verify = async () => PROBED;
const install = (from: string, options: Partial<InstallOptions> = {}) =>
  installLibrary({ gpu: false, from, force: false, progress: SILENT, verify, ...options });

async function wheelIn(t: TestContext, contents = WHEEL_CONTENTS): Promise<string> {
  const path = join(await temporaryFolder(t), WHEEL);
  await writeFile(path, zip(contents));
  return path;
}

/** `mm setup` in a separate process; `said` returns its output so far. */
function worker(from: string, milliseconds: number): { child: ChildProcess; said: () => string } {
  const script = programFile(new URL('install-worker.ts', import.meta.url));
  const child = spawn(process.execPath, [...TYPESCRIPT, script, from, String(milliseconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  return { child, said: () => text };
}

test('a wheel is unpacked, verified in the work folder, and found after that', async (t) => {
  const cache = await temporaryCache(t);
  const seen: string[] = [];
  const { library, changed } = await install(await wheelIn(t), {
    verify: async (folder) => {
      seen.push(folder);
      assert.throws(locateLibrary, EngineError);
      assert.equal(
        await readFile(join(folder, 'tensorflow', TENSORFLOW), 'utf8'),
        WHEEL_CONTENTS[`tensorflow/${TENSORFLOW}`],
      );
      return { ...PROBED, version: '2.99.0' };
    },
  });
  assert.ok(changed);
  assert.equal(library.version, '2.99.0');
  assert.deepEqual(locateLibrary(), library);
  assert.equal(seen.length, 1);
  assert.deepEqual(await readdir(cache), [basename(libraryFolder())]);
  assert.deepEqual(
    (await readdir(library.folder, { recursive: true })).sort(),
    [
      'library.json',
      'licences',
      'licences/tensorflow',
      'licences/tensorflow/THIRD_PARTY_NOTICES.txt',
      'tensorflow',
      `tensorflow/${TENSORFLOW}`,
      `tensorflow/${FRAMEWORK}`,
    ].sort(),
  );
});

test('a second installation changes nothing, and force replaces the library', async (t) => {
  await temporaryCache(t);
  const wheel = await wheelIn(t);
  await install(wheel);
  assert.equal((await install(wheel, { verify: () => assert.fail('verified again') })).changed, false);
  const { library, changed } = await install(wheel, {
    force: true,
    verify: async () => ({ ...PROBED, version: '3.0.0' }),
  });
  assert.ok(changed);
  assert.equal(library.version, '3.0.0');
});

test('an incomplete library is installed again', async (t) => {
  await temporaryCache(t);
  const wheel = await wheelIn(t);
  await install(wheel);
  await writeFile(join(libraryFolder(), 'library.json'), 'half');
  assert.equal((await install(wheel)).changed, true);
  assert.equal(locateLibrary().version, PROBED.version);
});

test('a failed verification leaves the cache unchanged', async (t) => {
  const cache = await temporaryCache(t);
  const wheel = await wheelIn(t);
  const broken = {
    verify: () => Promise.reject(new EngineError('does not load', { code: 'E_LIBRARY_LOAD' })),
  };
  await assert.rejects(install(wheel, broken), EngineError);
  assert.deepEqual(await readdir(cache), []);
  await install(wheel);
  await assert.rejects(install(wheel, { ...broken, force: true }), EngineError);
  assert.equal(locateLibrary().version, PROBED.version);
});

test('an interruption leaves the cache empty', async (t) => {
  const cache = await temporaryCache(t);
  const controller = new AbortController();
  const interrupted = install(await wheelIn(t), {
    signal: controller.signal,
    verify: async (_folder, signal) => {
      controller.abort();
      signal?.throwIfAborted();
      return PROBED;
    },
  });
  await assert.rejects(interrupted, { name: 'InterruptedError', code: 'E_INTERRUPTED' });
  assert.deepEqual(await readdir(cache), []);
});

test('of two simultaneous processes one installs, and the other waits for it', async (t) => {
  const cache = await temporaryCache(t);
  const wheel = await wheelIn(t);
  const workers = [worker(wheel, 500), worker(wheel, 500)];
  await Promise.all(workers.map(({ child }) => once(child, 'close')));
  const said = workers.map((one) => one.said()).sort();
  assert.deepEqual(said, ['found\n', 'verifying\ninstalled\n']);
  assert.deepEqual(await readdir(cache), [basename(libraryFolder())]);
});

test('after kill -9 during an installation the next run cleans up and installs', async (t) => {
  const cache = await temporaryCache(t);
  const wheel = await wheelIn(t);
  const { child, said } = worker(wheel, 60_000);
  while (said() === '') await once(child.stdout!, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.equal((await readdir(cache)).length, 2, 'the lock and the work folder');
  assert.equal((await install(wheel)).changed, true);
  assert.deepEqual(await readdir(cache), [basename(libraryFolder())]);
});

test('a lock of another machine is taken over only after a long time without a touch', async (t) => {
  const cache = await temporaryCache(t);
  const wheel = await wheelIn(t);
  const lock = `${libraryFolder()}.lock`;
  await mkdir(cache);
  await writeFile(lock, JSON.stringify({ pid: process.pid, host: `not-${hostname()}` }));
  const notes: string[] = [];
  const waiting = install(wheel, {
    progress: { ...SILENT, start() {}, update() {}, stop() {}, note: (line) => void notes.push(line) },
  });
  let done = false;
  const watched = waiting.then((result) => {
    done = true;
    return result;
  });
  while (notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.match(notes[0] as string, new RegExp(`process ${process.pid}`));
  assert.equal(done, false);
  await utimes(lock, new Date(0), new Date(0));
  assert.equal((await watched).changed, true);
  assert.deepEqual(await readdir(cache), [basename(libraryFolder())]);
});
