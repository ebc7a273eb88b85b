// What `mm setup --from PATH` may name: a wheel, an archive of TensorFlow's C library, or a folder that holds
// wheels or the libraries themselves.

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DataError } from '../../util/errors.ts';
import { companionWheels } from './companions.ts';
import { libraryNames, pickLibraries } from './names.ts';
import { folderFiles, type PackedFile, tarFiles, zipFiles } from './packed.ts';
import { fitsMachine, parseWheelName, projectOf, TENSORFLOW_VERSION } from './wheel.ts';

/** Something to unpack: its files, read anew by each call. */
export type Source = () => AsyncIterable<PackedFile>;

const WAYS =
  'name a tensorflow wheel, a libtensorflow .tar.gz or .zip, or a folder that holds one or the libraries';

/**
 * What to unpack, TensorFlow first, then with `gpu` its CUDA companions.
 * @throws DataError when `path` holds nothing that serves this machine
 */
export async function findSources(path: string, gpu: boolean): Promise<Source[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new DataError('there is no such file or folder', { where: path, fix: WAYS, cause: error });
  });
  if (found.isDirectory()) return fromFolder(path, gpu);
  if (path.endsWith('.whl')) return fromWheel(path, gpu);
  if (/\.(zip|tar|tar\.gz|tgz)$/.test(path)) return [archive(path)];
  throw new DataError('this is not a wheel, an archive or a folder', { where: path, fix: WAYS });
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
      where: path,
      fix: WAYS,
    },
  );
}

/** The libraries of a folder laid out as C library, as Python's site-packages, or flat. */
function looseFiles(folder: string, libraries: readonly string[]): Source {
  const enter = (path: string) => /^(lib|tensorflow|nvidia(\/.*)?)$/.test(path);
  return async function* () {
    for await (const file of folderFiles(folder, enter)) {
      // A library may be there under several names; one is enough.
      const name = basename(file.path);
      if (!name.startsWith('libtensorflow') || libraries.includes(name)) yield file;
    }
  };
}

/** The best tensorflow wheel for this machine: built as asked, then of the release mm is tested with. */
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
        where: path,
        fix: 'fetch the wheel for this machine',
      },
    );
  }
  const companions = gpu ? await companionsBeside(path) : [];
  return [archive(path), ...companions.map(archive)];
}

/** Paths of the CUDA wheels that `wheel` asks for, in its folder. */
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
      `the folder lacks ${missing.length} of the CUDA wheels this one asks for: ${missing.join(' ')}`,
      {
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
  throw new DataError('the wheel has no METADATA', { where: wheel, fix: 'fetch it again' });
}
