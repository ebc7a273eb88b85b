// Finds the files of libtensorflow: in the folder of MM_TENSORFLOW, or in the cache, where `mm setup` installs them.
// native/capi.ts loads them.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { EngineError } from '../../util/errors.ts';
import { libraryNames, pickLibraries } from './names.ts';

/** The installed library; every path is absolute. */
export interface LibraryFiles {
  readonly folder: string;
  /** Loaded first, with global symbols. */
  readonly framework: string;
  /** Exports the C API (`TF_*`, `TFE_*`). */
  readonly tensorflow: string;
  /** TensorFlow's version, or 'unknown' under MM_TENSORFLOW. */
  readonly version: string;
  /** Whether this is the CUDA build with its companions. */
  readonly gpu: boolean;
  /** CUDA libraries to load before the others, in this order. */
  readonly companions: readonly string[];
}

/** The manifest that `mm setup` writes beside the files; its paths are relative to the folder. */
export interface LibraryManifest {
  readonly version: string;
  readonly gpu: boolean;
  readonly framework: string;
  readonly tensorflow: string;
  readonly companions: readonly string[];
}

export const LIBRARY_MANIFEST = 'library.json';

/** mm's cache: MM_CACHE, else XDG_CACHE_HOME/mm, else ~/.cache/mm (macOS: ~/Library/Caches/mm). */
export function cacheFolder(): string {
  const { MM_CACHE, XDG_CACHE_HOME } = process.env;
  if (MM_CACHE) return resolve(MM_CACHE);
  if (XDG_CACHE_HOME) return resolve(XDG_CACHE_HOME, 'mm');
  return process.platform === 'darwin'
    ? join(homedir(), 'Library', 'Caches', 'mm')
    : join(homedir(), '.cache', 'mm');
}

/** The folder of libtensorflow in the cache, for this operating system and processor. */
export function libraryFolder(): string {
  return join(cacheFolder(), `libtensorflow-${process.platform}-${process.arch}`);
}

/**
 * Finds the installed library.
 * @throws EngineError when there is none or a file of it is missing; the fix is `mm setup`
 */
export function locateLibrary(): LibraryFiles {
  const chosen = process.env.MM_TENSORFLOW;
  return chosen ? chosenLibrary(resolve(chosen)) : installedLibrary(libraryFolder());
}

function chosenLibrary(folder: string): LibraryFiles {
  if (existsSync(join(folder, LIBRARY_MANIFEST))) return installedLibrary(folder);
  const names = libraryNames();
  const found = existsSync(folder) ? pickLibraries(readdirSync(folder), names) : undefined;
  if (found === undefined) {
    throw new EngineError(
      `MM_TENSORFLOW names a folder without ${names.framework} and ${names.tensorflow[0]}`,
      {
        code: 'E_LIBRARY_MISSING',
        where: folder,
        fix: 'unset MM_TENSORFLOW and run mm setup, or set it to a folder with both files',
      },
    );
  }
  const { framework, tensorflow } = found;
  return absolute(folder, { framework, tensorflow, version: 'unknown', gpu: false, companions: [] });
}

/** The library in `folder` by its manifest. @throws EngineError as `locateLibrary` does */
export function installedLibrary(folder: string): LibraryFiles {
  if (!existsSync(folder)) {
    throw new EngineError('libtensorflow is not installed', {
      code: 'E_LIBRARY_MISSING',
      where: folder,
      fix: 'mm setup (without a network: mm setup --from WHEEL)',
    });
  }
  const files = absolute(folder, readManifest(folder));
  for (const path of [files.framework, files.tensorflow, ...files.companions]) {
    if (!existsSync(path)) throw damaged(path);
  }
  return files;
}

function readManifest(folder: string): LibraryManifest {
  const path = join(folder, LIBRARY_MANIFEST);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LibraryManifest;
  } catch (error) {
    throw damaged(path, error);
  }
}

function absolute(folder: string, manifest: LibraryManifest): LibraryFiles {
  return {
    folder,
    framework: join(folder, manifest.framework),
    tensorflow: join(folder, manifest.tensorflow),
    version: manifest.version,
    gpu: manifest.gpu,
    companions: manifest.companions.map((path) => join(folder, path)),
  };
}

function damaged(path: string, cause?: unknown): EngineError {
  return new EngineError('the installed libtensorflow is not complete', {
    code: 'E_LIBRARY_INCOMPLETE',
    where: path,
    fix: 'mm setup --force',
    cause,
  });
}
