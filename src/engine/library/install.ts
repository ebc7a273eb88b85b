// Installs libtensorflow in the cache: downloads or finds it, unpacks it into a work folder, verifies it there, and
// then renames the folder. Any failure before that leaves the cache unchanged.

import { mkdir, open, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DataError, InterruptedError, UserError } from '../../util/errors.ts';
import type { Progress } from '../../util/progress.ts';
import { orderCompanions } from './companions.ts';
import { fetchSources } from './fetch.ts';
import { withFileLock } from './file-lock.ts';
import {
  installedLibrary,
  LIBRARY_MANIFEST,
  type LibraryFiles,
  type LibraryManifest,
  libraryFolder,
} from './locate.ts';
import { libraryNames, pickLibraries } from './names.ts';
import { findSources } from './source.ts';
import { cacheError } from './storage.ts';
import { unpack } from './unpack.ts';
import { type Verify, verifyLibrary } from './verify.ts';
import { libraryWheel, TENSORFLOW_VERSION } from './wheel.ts';

export interface InstallOptions {
  readonly gpu: boolean;
  /** A wheel, archive or folder to install from, instead of the network. */
  readonly from?: string | undefined;
  /** Replace an installed library. */
  readonly force: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  readonly verify?: Verify;
}

export interface Installed {
  readonly library: LibraryFiles;
  /** False when a suitable library was installed already. */
  readonly changed: boolean;
}

/**
 * Installs the library, unless a suitable one is installed.
 * @throws EngineError, DataError, UsageError; InterruptedError when `signal` is aborted. The cache is then unchanged.
 */
export async function installLibrary(options: InstallOptions): Promise<Installed> {
  const folder = libraryFolder();
  const { progress, signal } = options;
  const installed = (): Installed | undefined => {
    const library = options.force ? undefined : suitableLibrary(folder, options);
    return library && { library, changed: false };
  };
  const onWait = (pid: number) =>
    progress.note(`another mm setup (process ${pid}) is running; waiting for it`);
  try {
    return (
      installed() ??
      (await withFileLock(
        folder,
        { signal, onWait },
        async (work) => installed() ?? install(work, folder, options),
      ))
    );
  } catch (error) {
    if (signal?.aborted)
      throw new InterruptedError('mm setup was interrupted; nothing was changed', {
        code: 'E_INTERRUPTED',
        cause: error,
      });
    throw error instanceof UserError ? error : cacheError(error, folder);
  }
}

/** The installed library, when it is complete and of the requested build and version. */
function suitableLibrary(folder: string, { gpu, from }: InstallOptions): LibraryFiles | undefined {
  try {
    const library = installedLibrary(folder);
    const isSuitable =
      (library.gpu || !gpu) && (from !== undefined || library.version === TENSORFLOW_VERSION);
    return isSuitable ? library : undefined;
  } catch {
    return undefined;
  }
}

async function install(work: string, folder: string, options: InstallOptions): Promise<Installed> {
  const fresh = join(work, 'library');
  await mkdir(fresh);
  const written: string[] = [];
  const sources =
    options.from === undefined ? fetchSources(work, options) : findSources(options.from, options.gpu);
  for await (const source of await sources) written.push(...(await unpack(source(), fresh, options)));
  const manifest = manifestOf(written, options);
  await writeManifest(fresh, manifest);
  const { version } = await (options.verify ?? verifyLibrary)(fresh, options.signal);
  await writeManifest(fresh, { ...manifest, version });
  await syncFolders(fresh);
  await replace(fresh, folder, join(work, 'old'));
  return { library: installedLibrary(folder), changed: true };
}

function manifestOf(written: readonly string[], { gpu, from }: InstallOptions): LibraryManifest {
  const libraries = pickLibraries(written);
  if (libraries === undefined) {
    const { framework, tensorflow } = libraryNames();
    throw new DataError(`there is no ${framework} and ${tensorflow[0]} inside`, {
      code: 'E_LIBRARY_MISSING',
      where: from ?? libraryWheel(gpu).requirement,
      fix: 'give a tensorflow wheel or a libtensorflow archive for this operating system',
    });
  }
  return { version: 'unknown', gpu, ...libraries, companions: gpu ? orderCompanions(written) : [] };
}

async function writeManifest(folder: string, manifest: LibraryManifest): Promise<void> {
  await writeFile(join(folder, LIBRARY_MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`, {
    flush: true,
  });
}

async function syncFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await sync(join(entry.parentPath, entry.name));
  }
  await sync(folder);
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}

/** Renames `fresh` to `folder`; an existing folder is moved to `aside`. */
async function replace(fresh: string, folder: string, aside: string): Promise<void> {
  await rename(folder, aside).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(fresh, folder);
  await sync(dirname(folder));
}
