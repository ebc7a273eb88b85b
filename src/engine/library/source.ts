// The sources of `mm setup --from PATH`: a wheel, an archive of TensorFlow's C library, or a folder with wheels or the
// libraries.

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DataError } from '../../util/errors.ts';
import { companionWheels } from './companions.ts';
import { libraryNames, pickLibraries } from './names.ts';
import { folderFiles, type PackedFile, tarFiles, zipFiles } from './packed.ts';
import { fitsMachine, parseWheelName, projectOf, TENSORFLOW_VERSION } from './wheel.ts';

/** A package to unpack; each call reads its files from the start. */
export type Source = () => AsyncIterable<PackedFile>;

const FIX =
  'give a tensorflow wheel, a libtensorflow .tar.gz or .zip, or a folder with one of them or with the libraries';

/**
 * The packages to unpack: TensorFlow first, then with `gpu` its CUDA wheels.
 * @throws DataError when `path` has no package for this machine
 */
export async function findSources(path: string, gpu: boolean): Promise<Source[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new DataError('there is no such file or folder', {
      code: 'E_NOT_FOUND',
      where: path,
      fix: FIX,
      cause: error,
    });
  });
  if (found.isDirectory()) return fromFolder(path, gpu);
  if (path.endsWith('.whl')) return fromWheel(path, gpu);
  if (/\.(zip|tar|tar\.gz|tgz)$/.test(path)) return [archive(path)];
  throw new DataError('this is not a wheel, an archive or a folder', {
    code: 'E_PACKAGE_KIND',
    where: path,
    fix: FIX,
  });
}

export function archive(path: string): Source {
  const read = /\.(whl|zip)$/.test(path) ? zipFiles : tarFiles;
  return () => read(path);
}

async function fromFolder(path: string, gpu: boolean): Promise<Source[]> {
  const names = await readdir(path);
  const wheel = pickWheel(names, gpu);
  if (wheel !== undefined) return fromWheel(join(path, wheel), gpu);
  for (const inside of ['', 'lib', 'tensorflow']) {
    const libraries = pickLibraries(await readdir(join(path, inside)).catch(() => []));
    if (libraries !== undefined) return [looseFiles(path, Object.values(libraries))];
  }
  const archives = names.filter((name) => /^libtensorflow.*\.(zip|tar|tar\.gz|tgz)$/.test(name));
  if (archives.length === 1) return [archive(join(path, archives[0] as string))];
  const { framework, tensorflow } = libraryNames();
  throw new DataError(
    `the folder has no tensorflow wheel for this machine, and not both ${framework} and ${tensorflow[0]}`,
    {
      code: 'E_LIBRARY_MISSING',
      where: path,
      fix: FIX,
    },
  );
}

/** The libraries of a folder with the layout of the C library, of Python's site-packages, or flat. */
function looseFiles(folder: string, libraries: readonly string[]): Source {
  const enter = (path: string) => /^(lib|tensorflow|nvidia(\/.*)?)$/.test(path);
  return async function* () {
    for await (const file of folderFiles(folder, enter)) {
      // A library may exist under several names; one is enough.
      const name = basename(file.path);
      if (!name.startsWith('libtensorflow') || libraries.includes(name)) yield file;
    }
  };
}

/** The best tensorflow wheel for this machine: of the requested build, then of the release that mm is tested with. */
export function pickWheel(names: readonly string[], gpu: boolean): string | undefined {
  const projects = gpu ? ['tensorflow'] : ['tensorflow_cpu', 'tensorflow'];
  const rank = (name: string): number => {
    const wheel = parseWheelName(name);
    if (wheel === undefined || !projects.includes(wheel.project) || !fitsMachine(wheel))
      return Number.POSITIVE_INFINITY;
    return 2 * projects.indexOf(wheel.project) + (wheel.version === TENSORFLOW_VERSION ? 0 : 1);
  };
  const best = names.toSorted().sort((a, b) => rank(a) - rank(b))[0];
  return best !== undefined && Number.isFinite(rank(best)) ? best : undefined;
}

async function fromWheel(path: string, gpu: boolean): Promise<Source[]> {
  const name = parseWheelName(basename(path));
  if (name !== undefined && !fitsMachine(name)) {
    throw new DataError(
      `the wheel is for ${name.platforms.join(', ')}; this is ${process.platform}-${process.arch}`,
      {
        code: 'E_WHEEL_PLATFORM',
        where: path,
        fix: 'download the wheel for this machine',
      },
    );
  }
  const companions = gpu ? await companionsBeside(path) : [];
  return [archive(path), ...companions.map(archive)];
}

/** Paths of the CUDA wheels that `wheel` requires, in its folder. */
async function companionsBeside(wheel: string): Promise<string[]> {
  const folder = dirname(wheel);
  const names = await readdir(folder);
  const wanted = companionWheels(await wheelMetadata(wheel)).map(({ requirement }) => requirement);
  const found = wanted.map((requirement) =>
    names.find((name) => parseWheelName(name)?.project === projectOf(requirement)),
  );
  const missing = wanted.filter((_, i) => found[i] === undefined);
  if (missing.length > 0) {
    throw new DataError(
      `the folder lacks ${missing.length} of the CUDA wheels that this one requires: ${missing.join(' ')}`,
      {
        code: 'E_CUDA_WHEELS_MISSING',
        where: folder,
        fix: `pip download --no-deps ${missing.map((requirement) => `'${requirement}'`).join(' ')}`,
      },
    );
  }
  return found.map((name) => join(folder, name as string));
}

/** A wheel's METADATA. */
export async function wheelMetadata(wheel: string): Promise<string> {
  for await (const file of zipFiles(wheel)) {
    if (/^[^/]+\.dist-info\/METADATA$/.test(file.path)) return text(file.open());
  }
  throw new DataError('the wheel has no METADATA', {
    code: 'E_ARCHIVE_DAMAGED',
    where: wheel,
    fix: 'download it again',
  });
}
