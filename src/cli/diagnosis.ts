// The checks of mm doctor: one function for each line that it prints.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, release } from 'node:os';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, type LibraryFiles, locateLibrary } from '../engine/library/locate.ts';
import { findPip } from '../engine/library/python.ts';
import { type Verify, verifyLibrary } from '../engine/library/verify.ts';
import { libraryWheel } from '../engine/library/wheel.ts';
import { UserError } from '../util/errors.ts';
import { machineMemory } from '../util/machine-memory.ts';

export interface Finding {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'FAIL';
  readonly detail: string;
  /** What to do about a warning or a failure. */
  readonly fix?: string | undefined;
}

const REINSTALL = 'npm install';
const MIN_NODE = [20, 19] as const;
const GIGABYTE = 1e9;
const MIN_MEMORY = 4 * GIGABYTE;
const MIN_DISK = 2 * GIGABYTE;

const gigabytes = (bytes: number): string => `${(bytes / GIGABYTE).toFixed(1)} GB`;
const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail });
const warning = (name: string, detail: string, fix?: string): Finding => ({
  name,
  status: 'warning',
  detail,
  fix,
});
const failure = (name: string, detail: string, fix?: string): Finding => ({
  name,
  status: 'FAIL',
  detail,
  fix,
});

function ofError(name: string, error: unknown, fix?: string): Finding {
  const where = error instanceof UserError && error.where !== undefined ? ` (${error.where})` : '';
  return failure(name, `${(error as Error).message}${where}`, error instanceof UserError ? error.fix : fix);
}

export function checkNode(version = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const recent = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  return recent
    ? ok('node', version)
    : failure('node', version, `install Node ${MIN_NODE.join('.')} or newer`);
}

export function checkPlatform(): Finding {
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  const glibc = header.glibcVersionRuntime;
  const detail = `${process.platform} ${process.arch}, ${release()}${glibc ? `, glibc ${glibc}` : ''}`;
  if (process.platform === 'linux' && glibc === undefined) {
    return failure('platform', `${detail}, no glibc`, 'use a Linux with glibc 2.27 or newer (not Alpine)');
  }
  try {
    libraryWheel(false);
    return ok('platform', detail);
  } catch (error) {
    return { ...ofError('platform', error), status: process.env.MM_TENSORFLOW ? 'warning' : 'FAIL' };
  }
}

/** tfjs with tfjs-node's kernels: bundled in a build, from packages in a checkout. */
export const checkTfjs = (): Promise<Finding> =>
  checkLoads('tfjs', async () => (await import('../engine/tfjs/tf.ts')).tf.version_core, REINSTALL);

/** A package with a binary for each system, which does not load where that is missing. */
export const checkSharp = (name = 'sharp'): Promise<Finding> =>
  checkLoads(
    name,
    async () => {
      const { versions } = ((await import(name)) as { default: Versioned }).default;
      return `${versions.sharp}, libvips ${versions.vips}`;
    },
    `${REINSTALL} --include=optional ${name}`,
  );

interface Versioned {
  readonly versions: Readonly<Record<'sharp' | 'vips', string>>;
}

/** Its JavaScript is bundled; its binaries are a package for each system. */
export const checkKoffi = (): Promise<Finding> =>
  checkLoads(
    'koffi',
    async () => (await import('../engine/native/koffi.ts')).koffi.version,
    `${REINSTALL} --include=optional @koromix/koffi-${process.platform}-${process.arch}`,
  );

async function checkLoads(name: string, load: () => Promise<string>, fix: string): Promise<Finding> {
  try {
    return ok(name, await load());
  } catch (error) {
    return failure(name, firstLine(error), fix);
  }
}

const firstLine = (error: unknown): string => (error as Error).message.split('\n')[0] ?? '';

export function checkMachine(): Finding {
  const memory = machineMemory();
  const detail = `${availableParallelism()} cores, ${gigabytes(memory)} memory`;
  return memory >= MIN_MEMORY
    ? ok('machine', detail)
    : warning(
        'machine',
        detail,
        'use smaller batches and models; mm plan computes what a configuration needs',
      );
}

export async function checkDisk(folder = cacheFolder()): Promise<Finding> {
  let there = folder;
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize } = await statfs(there);
  const detail = `${gigabytes(bavail * bsize)} free for ${folder}`;
  return bavail * bsize >= MIN_DISK
    ? ok('disk', detail)
    : warning('disk', detail, 'free some space, or name a folder on another disk in MM_CACHE');
}

/** The library; with its files, which later checks need. */
export async function checkLibrary(): Promise<{ findings: Finding[]; library?: LibraryFiles }> {
  try {
    const library = locateLibrary();
    return { findings: [ok('libtensorflow', `${buildOf(library)}, ${library.folder}`)], library };
  } catch (error) {
    return { findings: [ofError('libtensorflow', error), await checkPip()] };
  }
}

function buildOf({ version, gpu, companions }: LibraryFiles): string {
  if (version === 'unknown') return 'chosen by MM_TENSORFLOW';
  return gpu ? `${version} with CUDA, ${companions.length} CUDA libraries` : `${version} for the CPU`;
}

/** pip, which `mm setup` needs. */
async function checkPip(): Promise<Finding> {
  try {
    return ok('pip', (await findPip()).version);
  } catch (error) {
    return { ...ofError('pip', error), status: 'warning' };
  }
}

/** The GPUs that NVIDIA's driver lists. */
export async function checkGpu(library: LibraryFiles | undefined): Promise<Finding> {
  const devices = await nvidiaDevices();
  if (devices.length === 0) return ok('gpu', 'none found by nvidia-smi; the CPU is used');
  const detail = devices.join('; ');
  if (library === undefined || library.gpu || library.version === 'unknown') return ok('gpu', detail);
  return warning('gpu', `${detail}; not used, because the library is the CPU build`, 'mm setup --gpu');
}

async function nvidiaDevices(): Promise<string[]> {
  const query = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'];
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 20_000 });
    return stdout.split('\n').filter((line) => line.trim() !== '');
  } catch {
    return [];
  }
}

/** Loads the library in a child process and multiplies two matrices. */
export async function checkEngine(
  library: LibraryFiles,
  signal?: AbortSignal,
  verify: Verify = verifyLibrary,
): Promise<Finding> {
  try {
    const { version, devices, seconds } = await verify(library.folder, signal);
    const names = devices
      .map((name) => name.replace(/^.*\/device:/, '').replace(/^XLA_.*/, ''))
      .filter(Boolean);
    const detail = `TensorFlow ${version} computes on ${names.join(', ')} (${seconds.toFixed(1)} s)`;
    if (library.gpu && !names.some((name) => name.startsWith('GPU'))) {
      return warning(
        'self-test',
        `${detail}; it sees no GPU`,
        'check the driver: nvidia-smi; set TF_CPP_MIN_LOG_LEVEL=0 for its reasons',
      );
    }
    return ok('self-test', detail);
  } catch (error) {
    return ofError('self-test', error);
  }
}
