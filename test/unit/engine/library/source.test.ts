// `mm setup --from`: every kind of package, and the errors of each.

import assert from 'node:assert/strict';
import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installLibrary } from '../../../../src/engine/library/install.ts';
import { locateLibrary } from '../../../../src/engine/library/locate.ts';
import { targetOf } from '../../../../src/engine/library/unpack.ts';
import { DataError } from '../../../../src/util/errors.ts';
import { SILENT } from '../../../../src/util/progress.ts';
import {
  type Contents,
  FRAMEWORK,
  METADATA,
  PROBED,
  TAG,
  TENSORFLOW,
  tarball,
  temporaryCache,
  temporaryFolder,
  WHEEL,
  WHEEL_CONTENTS,
  writeFiles,
  zip,
} from './fake.ts';

const install = (from: string, gpu = false) =>
  installLibrary({ gpu, from, force: true, progress: SILENT, verify: async () => PROBED });

const LIBRARIES: Contents = { [FRAMEWORK]: 'the framework', [TENSORFLOW]: 'the C API' };

/** Installs from `name` with this content; returns both libraries' contents. */
async function installed(t: TestContext, name: string, content: Buffer): Promise<string[]> {
  await temporaryCache(t);
  const path = join(await temporaryFolder(t), name);
  await writeFile(path, content);
  await install(path);
  return libraryContents();
}

async function libraryContents(): Promise<string[]> {
  const { framework, tensorflow } = locateLibrary();
  return Promise.all([readFile(framework, 'utf8'), readFile(tensorflow, 'utf8')]);
}

async function rejection(promise: Promise<unknown>): Promise<DataError> {
  const error = await promise.then(
    () => assert.fail('it should have been refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DataError, String(error));
  return error;
}

test('a zip may have the libraries anywhere inside', async (t) => {
  const contents = { [`some/lib/${FRAMEWORK}`]: 'the framework', [`some/lib/${TENSORFLOW}`]: 'the C API' };
  assert.deepEqual(await installed(t, 'libtensorflow.zip', zip(contents)), Object.values(LIBRARIES));
});

test('the C tarball of TensorFlow, with its links to versioned files and without _cc, is unpacked', async (t) => {
  if (process.platform !== 'linux') return t.skip('names are of Linux');
  const contents = {
    './LICENSE': 'licence',
    './include/tensorflow/c/c_api.h': 'header',
    './lib/libtensorflow.so': '->libtensorflow.so.2',
    './lib/libtensorflow.so.2': '->libtensorflow.so.2.18.0',
    './lib/libtensorflow.so.2.18.0': 'the C API',
    './lib/libtensorflow_framework.so.2.18.0': 'the framework',
    './lib/libtensorflow_framework.so.2': '->libtensorflow_framework.so.2.18.0',
  };
  assert.deepEqual(
    await installed(t, 'libtensorflow-cpu.tar.gz', await tarball(contents)),
    Object.values(LIBRARIES),
  );
  const { folder } = locateLibrary();
  assert.deepEqual((await readdir(join(folder, 'tensorflow'))).sort(), [
    'libtensorflow.so.2',
    'libtensorflow_framework.so.2',
  ]);
  assert.equal(await readFile(join(folder, 'licences/tensorflow/LICENSE'), 'utf8'), 'licence');
});

test('a folder may have the libraries in lib/ and as symbolic links', async (t) => {
  await temporaryCache(t);
  const [elsewhere, folder] = [await temporaryFolder(t), await temporaryFolder(t)];
  await writeFiles(elsewhere, { real: 'the C API' });
  await writeFiles(folder, { [`lib/${FRAMEWORK}`]: 'the framework' });
  await symlink(join(elsewhere, 'real'), join(folder, 'lib', TENSORFLOW));
  await install(folder);
  assert.deepEqual(await libraryContents(), Object.values(LIBRARIES));
});

test('a folder may have the wheel', async (t) => {
  await temporaryCache(t);
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, WHEEL), zip(WHEEL_CONTENTS));
  await writeFile(join(folder, WHEEL.replace('2.21.0', '2.20.0')), 'another release, not looked at');
  await install(folder);
  assert.equal((await libraryContents())[1], WHEEL_CONTENTS[`tensorflow/${TENSORFLOW}`]);
});

test('the CUDA build installs the wheels it requires, and names the missing ones', async (t) => {
  await temporaryCache(t);
  const folder = await temporaryFolder(t);
  const metadata = ['cuda-runtime', 'cudnn', 'cuda-nvcc']
    .map((part) => `Requires-Dist: nvidia-${part}-cu12<13.0,>=9; extra == "and-cuda"\n`)
    .join('');
  const wheel = join(folder, `tensorflow-2.21.0-cp312-cp312-${TAG}.whl`);
  await writeFile(wheel, zip({ ...WHEEL_CONTENTS, [METADATA]: metadata }));
  const companion = (name: string, contents: Contents) =>
    writeFile(
      join(folder, `nvidia_${name}_cu12-12.9-py3-none-manylinux2014_x86_64.whl`),
      zip(contents, 0o755),
    );
  await companion('cudnn', {
    'nvidia/cudnn/lib/libcudnn.so.9': 'cudnn',
    'nvidia/cudnn/include/cudnn.h': 'header',
  });
  const { code, message, fix } = await rejection(install(wheel, true));
  assert.equal(code, 'E_CUDA_WHEELS_MISSING');
  assert.match(message, /lacks 2 .*nvidia-cuda-runtime-cu12<13\.0,>=9/);
  assert.match(fix ?? '', /pip download .*'nvidia-cuda-nvcc-cu12/);

  await companion('cuda_runtime', { 'nvidia/cuda_runtime/lib/libcudart.so.12': 'cudart' });
  await companion('cuda_nvcc', {
    'nvidia/cuda_nvcc/bin/ptxas': 'ptxas',
    'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc': 'bc',
  });
  const { library } = await install(folder, true);
  assert.equal(library.gpu, true);
  assert.deepEqual(library.companions, [
    join(library.folder, 'nvidia/cuda_runtime/lib/libcudart.so.12'),
    join(library.folder, 'nvidia/cudnn/lib/libcudnn.so.9'),
  ]);
  assert.equal((await stat(join(library.folder, 'nvidia/cuda_nvcc/bin/ptxas'))).mode & 0o111, 0o111);
  await assert.rejects(stat(join(library.folder, 'nvidia/cudnn/include')));
});

test('a changed byte, a cut archive and a file of another format are errors about the archive', async (t) => {
  const cache = await temporaryCache(t);
  const folder = await temporaryFolder(t);
  // Without the tail of its content a tarball's own end is missing; a stored byte changes only the CRC.
  const whole = zip(WHEEL_CONTENTS);
  const changed = Buffer.from(whole);
  const at = whole.indexOf('_framework') + FRAMEWORK.length;
  changed[at] = changed[at]! ^ 1;
  const tar = await tarball(LIBRARIES);
  const cases: Record<string, Buffer> = {
    [WHEEL]: changed,
    'cut.zip': whole.subarray(0, whole.length - 60),
    'cut.tar.gz': tar.subarray(0, tar.length - 40),
    'text.tgz': Buffer.from('this is not gzip'),
    'text.zip': Buffer.from('this is not zip'),
    'empty.zip': Buffer.alloc(0),
    'empty.tar': Buffer.alloc(0),
    'other.tar.gz': await tarball({ 'README.md': 'nothing of use' }),
  };
  for (const [name, content] of Object.entries(cases)) {
    const path = join(folder, name);
    await writeFile(path, content);
    const error = await rejection(install(path));
    assert.equal(error.where, path, name);
    const isWhole = /^(empty|other)\.tar/.test(name);
    assert.equal(error.code, isWhole ? 'E_LIBRARY_MISSING' : 'E_ARCHIVE_DAMAGED', name);
    assert.ok(error.fix, name);
    assert.deepEqual(await readdir(cache), [], name);
  }
});

test('a wrong CRC is damage even where the content can be unpacked', async (t) => {
  await temporaryCache(t);
  const path = join(await temporaryFolder(t), WHEEL);
  const bytes = zip(WHEEL_CONTENTS);
  // The CRC of the first entry in the central directory, which is the one that counts.
  bytes.writeUInt32LE(123, bytes.indexOf('PK\x01\x02', 0, 'latin1') + 16);
  await writeFile(path, bytes);
  const { code, message } = await rejection(install(path));
  assert.equal(code, 'E_ARCHIVE_DAMAGED');
  assert.match(message, /CRC/);
});

test('packages for other machines, missing files and other kinds of files are refused', async (t) => {
  await temporaryCache(t);
  const folder = await temporaryFolder(t);
  const wheel = join(folder, 'tensorflow_cpu-2.21.0-cp312-cp312-manylinux_2_27_s390x.whl');
  await writeFiles(folder, { 'notes.txt': 'notes' });
  await writeFile(wheel, zip(WHEEL_CONTENTS));
  const codeOf = async (path: string) => (await rejection(install(path))).code;
  assert.match((await rejection(install(wheel))).message, /s390x/);
  assert.equal(await codeOf(wheel), 'E_WHEEL_PLATFORM');
  assert.equal(await codeOf(join(folder, 'absent.whl')), 'E_NOT_FOUND');
  assert.equal(await codeOf(join(folder, 'notes.txt')), 'E_PACKAGE_KIND');
  assert.equal(await codeOf(folder), 'E_LIBRARY_MISSING');
});

test('only needed files are unpacked, to the paths where TensorFlow looks for them', () => {
  const cases: readonly [path: string, cpu: string | undefined, gpu: string | undefined][] = [
    [
      'tensorflow/libtensorflow_cc.so.2',
      'tensorflow/libtensorflow_cc.so.2',
      'tensorflow/libtensorflow_cc.so.2',
    ],
    ['lib/libtensorflow.2.dylib', 'tensorflow/libtensorflow.2.dylib', 'tensorflow/libtensorflow.2.dylib'],
    ['tensorflow/python/_pywrap_tensorflow_internal.so', undefined, undefined],
    ['tensorflow/include/LICENSE', 'licences/tensorflow/LICENSE', 'licences/tensorflow/LICENSE'],
    ['tensorflow/include/external/ruy/LICENSE', undefined, undefined],
    ['a-1.dist-info/licenses/LICENSE.txt', 'licences/a-1/LICENSE.txt', 'licences/a-1/LICENSE.txt'],
    ['nvidia/cublas/lib/libcublas.so.12', undefined, 'nvidia/cublas/lib/libcublas.so.12'],
    ['nvidia/cuda_runtime/lib/libcudart_static.a', undefined, undefined],
    ['nvidia/cuda_nvcc/bin/ptxas', undefined, 'nvidia/cuda_nvcc/bin/ptxas'],
    ['nvidia/cublas/include/cublas.h', undefined, undefined],
  ];
  for (const [path, cpu, gpu] of cases) {
    assert.equal(targetOf(path, false), cpu, path);
    assert.equal(targetOf(path, true), gpu, path);
  }
});
