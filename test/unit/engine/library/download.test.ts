// Downloads with a fake pip on the PATH: its arguments, and the handling of its output and errors.

import assert from 'node:assert/strict';
import { readdir, readFile, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { announcedDownload, pipArguments } from '../../../../src/engine/library/download.ts';
import { installLibrary } from '../../../../src/engine/library/install.ts';
import { libraryFolder, locateLibrary } from '../../../../src/engine/library/locate.ts';
import { findPip } from '../../../../src/engine/library/python.ts';
import { assertFreeSpace, diskFull } from '../../../../src/engine/library/storage.ts';
import { projectOf } from '../../../../src/engine/library/wheel.ts';
import { DataError, EngineError, type ErrorCode } from '../../../../src/util/errors.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import { setEnvironment } from '../../../support/environment.ts';
import { METADATA, PROBED, TAG, temporaryCache, temporaryFolder, WHEEL_CONTENTS, zip } from './fake.ts';

const onLinux = process.platform === 'linux' && process.arch === 'x64';

/** Replaces the PATH by a folder with these programs; each is JavaScript with its parameters in `argv`. */
async function programs(t: TestContext, scripts: Readonly<Record<string, string>>): Promise<string> {
  const folder = await temporaryFolder(t);
  for (const [name, script] of Object.entries(scripts)) {
    const source = `#!${process.execPath}\nconst argv = process.argv.slice(2);\nconst fs = require('fs');\n${script}\n`;
    await writeFile(join(folder, name), source, { mode: 0o755 });
  }
  setEnvironment(t, { PATH: folder });
  return folder;
}

const pipSaying = (version: string) => `console.log('${version}')`;
const PIP = 'pip 23.0 from /somewhere (python 3.11)';

/**
 * A pip that copies wheels from `store` by the name of their project; returns a reader of the arguments of its calls.
 */
async function fakePip(
  t: TestContext,
  store: Readonly<Record<string, Buffer>>,
): Promise<() => Promise<string[][]>> {
  const folder = await temporaryFolder(t);
  for (const [name, content] of Object.entries(store)) await writeFile(join(folder, name), content);
  const record = join(await temporaryFolder(t), 'asked');
  await writeFile(record, '');
  await programs(t, {
    python3: `
      if (argv.includes('--version')) { console.log('${PIP}'); process.exit(); }
      fs.appendFileSync('${record}', JSON.stringify(argv) + '\\n');
      const project = argv.at(-1).replace(/[<=>].*/, '').replaceAll('-', '_');
      const name = fs.readdirSync('${folder}').find((file) => file.startsWith(project + '-'));
      if (!name) { console.error('ERROR: No matching distribution found for ' + argv.at(-1)); process.exit(1); }
      console.log('  Downloading https://index/' + name + ' (1.5 kB)');
      fs.copyFileSync('${folder}/' + name, argv[argv.indexOf('--dest') + 1] + '/' + name);`,
  });
  return async () =>
    (await readFile(record, 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as string[]);
}

const install = (gpu = false, signal?: AbortSignal) =>
  installLibrary({ gpu, force: false, progress: SILENT, verify: async () => PROBED, signal });

async function room(): Promise<number> {
  const { bavail, bsize } = await statfs(tmpdir());
  return bavail * bsize;
}

test('the arguments of pip do not depend on the Python that runs it', () => {
  const parameters = pipArguments({ requirement: 'tensorflow==1', platforms: ['a', 'b'] }, '/to');
  const line = parameters.join(' ');
  assert.match(line, /^download --no-deps --only-binary=:all: --platform a --platform b /);
  assert.match(line, /--python-version 3\.12 --implementation cp --abi cp312 /);
  assert.match(line, /--dest \/to tensorflow==1$/);
});

test('each form of the line with which pip announces a download is parsed', () => {
  const cases: [string, ReturnType<typeof announcedDownload>][] = [
    [
      '  Downloading tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_x86_64.whl (274.0 MB)',
      { name: 'tensorflow_cpu-2.21.0', bytes: 274e6 },
    ],
    [
      '  Downloading https://host/a/b/nvidia_nccl_cu12-2.27.7-py3-none-any.whl (1.2GB)',
      { name: 'nvidia_nccl_cu12-2.27.7', bytes: 1.2e9 },
    ],
    ['  Downloading https://host/tensorflow-2.21.0-cp312-cp312-x.whl.metadata (4.4 kB)', undefined],
    ['Collecting tensorflow-cpu==2.21.0', undefined],
  ];
  for (const [line, expected] of cases) assert.deepEqual(announcedDownload(line), expected, line);
});

test('the first Python 3 with a usable pip is chosen', async (t) => {
  await programs(t, {
    python3: 'process.exit(1)',
    python: pipSaying('pip 20.3 from /x (python 2.7)'),
    py: pipSaying(PIP),
  });
  assert.deepEqual(await findPip(), { command: 'py', arguments: ['-3', '-m', 'pip'], version: PIP });
});

test('a missing Python and an old pip are different errors, both with a fix', async (t) => {
  await programs(t, {});
  await assert.rejects(findPip(), { name: 'EngineError', code: 'E_PIP_MISSING', fix: /--from/ });
  await programs(t, { python3: pipSaying('pip 18.1 from /x (python 3.6)') });
  await assert.rejects(findPip(), { name: 'EngineError', code: 'E_PIP_OLD', message: /19\.2.*18\.1/ });
});

test('the library is downloaded, unpacked and installed once', { skip: !onLinux }, async (t) => {
  const cache = await temporaryCache(t);
  const asked = await fakePip(t, { [`tensorflow_cpu-2.21.0-cp312-cp312-${TAG}.whl`]: zip(WHEEL_CONTENTS) });
  assert.equal((await install()).changed, true);
  assert.equal((await install()).changed, false);
  assert.deepEqual(
    (await asked()).map((parameters) => parameters.at(-1)),
    ['tensorflow-cpu==2.21.0'],
  );
  assert.deepEqual(await readdir(cache), [basename(libraryFolder())]);
});

test('a library of another release is replaced by the tested one', { skip: !onLinux }, async (t) => {
  await temporaryCache(t);
  await fakePip(t, { [`tensorflow_cpu-2.21.0-cp312-cp312-${TAG}.whl`]: zip(WHEEL_CONTENTS) });
  const older = async () => ({ ...PROBED, version: '2.18.0' });
  await installLibrary({ gpu: false, force: false, progress: SILENT, verify: older });
  assert.equal(locateLibrary().version, '2.18.0');
  assert.equal((await install()).changed, true);
  assert.equal(locateLibrary().version, PROBED.version);
});

test('the CUDA build replaces the CPU build, and is not replaced by it', {
  skip: !onLinux || (await room()) < 10e9,
}, async (t) => {
  await temporaryCache(t);
  const metadata = 'Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.3; extra == "and-cuda"\n';
  const asked = await fakePip(t, {
    [`tensorflow_cpu-2.21.0-cp312-cp312-${TAG}.whl`]: zip(WHEEL_CONTENTS),
    [`tensorflow-2.21.0-cp312-cp312-${TAG}.whl`]: zip({ ...WHEEL_CONTENTS, [METADATA]: metadata }),
    'nvidia_cudnn_cu12-9.9-py3-none-manylinux_2_27_x86_64.whl': zip({
      'nvidia/cudnn/lib/libcudnn.so.9': 'cudnn',
    }),
  });
  await install();
  const { library } = await install(true);
  assert.deepEqual(library.companions, [join(library.folder, 'nvidia/cudnn/lib/libcudnn.so.9')]);
  assert.equal((await install()).library.gpu, true);
  const projects = (await asked()).map((parameters) => projectOf(parameters.at(-1)!));
  assert.deepEqual(projects, ['tensorflow_cpu', 'tensorflow', 'nvidia_cudnn_cu12']);
});

test('errors of pip become errors with a code and a fix, and leave the cache empty', {
  skip: !onLinux,
}, async (t) => {
  const cache = await temporaryCache(t);
  const refusals: [string, typeof EngineError | typeof DataError, ErrorCode, RegExp][] = [
    [
      'ERROR: No matching distribution found for tensorflow-cpu==2.21.0',
      EngineError,
      'E_PIP_DOWNLOAD',
      /--from/,
    ],
    [
      'WARNING: Retrying after connection broken by NewConnectionError\\nERROR: Could not find a version',
      EngineError,
      'E_PIP_NETWORK',
      /PIP_INDEX_URL/,
    ],
    [
      'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
      DataError,
      'E_DISK_FULL',
      /MM_CACHE/,
    ],
  ];
  for (const [complaint, kind, code, fix] of refusals) {
    await programs(t, {
      python3: `if (argv.includes('--version')) console.log('${PIP}'); else { console.error('${complaint}'); process.exit(1); }`,
    });
    await assert.rejects(
      install(),
      (error) => error instanceof kind && error.code === code && fix.test(error.fix ?? ''),
      complaint,
    );
    assert.deepEqual(await readdir(cache), [], complaint);
  }
});

test('an interrupted download stops pip and leaves the cache empty', { skip: !onLinux }, async (t) => {
  const cache = await temporaryCache(t);
  const started = join(await temporaryFolder(t), 'started');
  await programs(t, {
    python3: `if (argv.includes('--version')) console.log('${PIP}');
      else { fs.writeFileSync('${started}', String(process.pid)); setTimeout(() => {}, 60000); }`,
  });
  const controller = new AbortController();
  const installing = assert.rejects(install(false, controller.signal), {
    name: 'InterruptedError',
    code: 'E_INTERRUPTED',
  });
  let pip = Number.NaN;
  while (!(pip > 0)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    pip = Number(await readFile(started, 'utf8').catch(() => ''));
  }
  controller.abort();
  await installing;
  assert.deepEqual(await readdir(cache), []);
  // pip was told to stop; wait until it has.
  const running = () => {
    try {
      return process.kill(pip, 0);
    } catch {
      return false;
    }
  };
  while (running()) await new Promise((resolve) => setTimeout(resolve, 20));
});

test('too little free space is an error before the download', async () => {
  await assert.rejects(assertFreeSpace(tmpdir(), 1e18), {
    name: 'DataError',
    code: 'E_DISK_FULL',
    where: tmpdir(),
    fix: /MM_CACHE/,
  });
  await assertFreeSpace(tmpdir(), 1);
  assert.equal(diskFull('/x').code, 'E_DISK_FULL');
});
