// Builds tfjs-node's own native addon from the C++ sources in its npm package against the libtensorflow that mm
// uses, with plain g++: the stock side of the op tests and of the bench. No part of mm itself needs it.
//
//   node --import tsx scripts/bench/stock-addon.ts [--headers FOLDER|WHEEL] [--node-headers FOLDER] [--force]

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { downloadWheel } from '../../src/engine/library/download.ts';
import { cacheFolder, type LibraryFiles, locateLibrary } from '../../src/engine/library/locate.ts';
import { zipFiles } from '../../src/engine/library/packed.ts';
import { findPip } from '../../src/engine/library/python.ts';
import { libraryWheel, TENSORFLOW_VERSION } from '../../src/engine/library/wheel.ts';
import { capi } from '../../src/engine/native/capi.ts';
import { EngineError } from '../../src/util/errors.ts';
import { SILENT } from '../../src/util/progress.ts';
import { runProgram, runScript } from './script.ts';

export interface AddonOptions {
  /** A folder that holds `tensorflow/c/c_api.h`, or a TensorFlow wheel; without it pip downloads the wheel. */
  readonly headers?: string | undefined;
  /** A folder that holds `node_api.h`; without it the running Node's own. */
  readonly nodeHeaders?: string | undefined;
  /** Build again although there is one in the cache. */
  readonly force?: boolean | undefined;
}

/** The parts of the wheel that the C API's headers include. */
const HEADER_PREFIXES = [
  'tensorflow/c/',
  'tensorflow/core/platform/ctstring',
  'tsl/platform/ctstring',
  'xla/tsl/c/',
];

/**
 * The path of the built addon; builds it when the cache has none for this Node and the libtensorflow in this place.
 * @throws EngineError when libtensorflow, g++, or the headers of Node or TensorFlow are missing.
 */
export async function stockAddon(options: AddonOptions = {}): Promise<string> {
  const library = locateLibrary();
  const version = capi().version();
  const place = createHash('sha256').update(library.tensorflow).digest('hex').slice(0, 8);
  const name = `stock-${version}-${place}-node-${process.versions.modules}`;
  const folder = join(cacheFolder(), 'yardsticks', name);
  const addon = join(folder, 'tfjs_binding.node');
  if (existsSync(addon) && !options.force) return addon;
  const node = nodeHeaders(options.nodeHeaders);
  await mkdir(folder, { recursive: true });
  const scratch = await mkdtemp(join(tmpdir(), 'mm-stock-addon-'));
  try {
    const tensorflow = await tensorflowHeaders(options.headers, version, scratch);
    const built = join(folder, `.${process.pid}.node`);
    await compile(built, [node, tensorflow], library);
    await rename(built, addon);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return addon;
}

async function compile(output: string, headers: readonly string[], library: LibraryFiles): Promise<void> {
  const tfjsNode = createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json');
  const sources = join(dirname(tfjsNode), 'binding');
  const files = (await readdir(sources)).filter((name) => name.endsWith('.cc'));
  await runProgram(
    'g++',
    [
      ...['-std=c++17', '-O2', '-fPIC', '-shared', '-DNAPI_VERSION=8'],
      ...headers.map((folder) => `-I${folder}`),
      ...files.map((name) => join(sources, name)),
      ...['-o', output, library.tensorflow, library.framework, `-Wl,-rpath,${dirname(library.tensorflow)}`],
    ],
    { fix: 'install g++ 9 or newer' },
  );
}

function nodeHeaders(given: string | undefined): string {
  const root = process.env.npm_config_nodedir ?? resolve(dirname(process.execPath), '..');
  const folder = resolve(given ?? join(root, 'include', 'node'));
  if (!existsSync(join(folder, 'node_api.h'))) {
    throw new EngineError("Node's C headers are missing", {
      code: 'E_HEADERS_MISSING',
      where: join(folder, 'node_api.h'),
      fix: "--node-headers FOLDER; node-vVERSION-headers.tar.gz on Node's download page holds them",
    });
  }
  return folder;
}

async function tensorflowHeaders(
  given: string | undefined,
  version: string,
  scratch: string,
): Promise<string> {
  const source = given === undefined ? await fetchWheel(version, scratch) : resolve(given);
  const include = (await isFile(source)) ? await unzipHeaders(source, scratch) : source;
  if (!existsSync(join(include, 'tensorflow', 'c', 'c_api.h'))) {
    throw new EngineError("TensorFlow's C headers are missing", {
      code: 'E_HEADERS_MISSING',
      where: join(include, 'tensorflow', 'c', 'c_api.h'),
      fix: `--headers with the tensorflow-cpu ${version} wheel, or its unpacked tensorflow/include`,
    });
  }
  return include;
}

async function unzipHeaders(wheel: string, scratch: string): Promise<string> {
  const include = join(scratch, 'include');
  for await (const file of zipFiles(wheel)) {
    const path = file.path.replace(/^tensorflow\/include\//, '');
    if (path === file.path || !HEADER_PREFIXES.some((prefix) => path.startsWith(prefix))) continue;
    const target = join(include, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, file.open());
  }
  return include;
}

async function fetchWheel(version: string, folder: string): Promise<string> {
  const { requirement, platforms } = libraryWheel(false);
  const request = { requirement: requirement.replace(TENSORFLOW_VERSION, version), platforms };
  try {
    return await downloadWheel(await findPip(), request, folder, { progress: SILENT });
  } catch (error) {
    throw new EngineError(`TensorFlow's C headers could not be downloaded: ${(error as Error).message}`, {
      code: 'E_HEADERS_MISSING',
      fix: '--headers with a TensorFlow wheel, or its unpacked tensorflow/include',
      cause: error,
    });
  }
}

async function isFile(path: string): Promise<boolean> {
  return existsSync(path) && (await stat(path)).isFile();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      headers: { type: 'string' },
      'node-headers': { type: 'string' },
      force: { type: 'boolean' },
    },
  });
  console.log(await stockAddon({ ...values, nodeHeaders: values['node-headers'] }));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await runScript(main);
