// The files inside a wheel, a zip, a tarball or a folder, behind one shape. Contents are streams: the largest
// file is 0.8 GB.

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32, createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { type Entry, openPromise } from 'yauzl';
import { DataError } from '../../util/errors.ts';

export interface PackedFile {
  /** Inside the package, with forward slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly executable: boolean;
  /** For a symbolic link, what it names; its content is empty. */
  readonly link?: string | undefined;
  /** The content, once, before the next file is asked for; throws DataError when it is damaged. */
  open(): AsyncIterable<Uint8Array>;
}

const EXECUTABLE = 0o100;

/** Files of a wheel or zip archive, each checked against its CRC-32 as it is read. */
export async function* zipFiles(path: string): AsyncGenerator<PackedFile> {
  const zip = await openPromise(path, { autoClose: false }).catch((error: Error) => {
    throw (error as NodeJS.ErrnoException).code === undefined ? damaged(path, error) : error;
  });
  async function* content(entry: Entry): AsyncGenerator<Uint8Array> {
    let crc = 0;
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      crc = crc32(chunk as Buffer, crc);
      yield chunk as Buffer;
    }
    if (crc !== entry.crc32) throw new Error(`${entry.fileName} does not have the CRC the archive says`);
  }
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith('/')) continue;
      yield {
        path: entry.fileName,
        bytes: entry.uncompressedSize,
        executable: ((entry.externalFileAttributes >>> 16) & EXECUTABLE) !== 0,
        open: () => asDamage(path, content(entry)),
      };
    }
  } finally {
    zip.close();
  }
}

/** Files of a tar archive, gzipped or not by its name. */
export async function* tarFiles(path: string): AsyncGenerator<PackedFile> {
  const entries = extract();
  const source = createReadStream(path);
  const unpacked = path.endsWith('.tar')
    ? pipeline(source, entries)
    : pipeline(source, createGunzip(), entries);
  // A fault also destroys `entries`, whose loop then throws it.
  unpacked.catch(() => undefined);
  for await (const entry of asDamage(path, entries)) {
    const { name, size, mode, type, linkname } = entry.header;
    if (type === 'file' || type === 'symlink') {
      yield {
        path: name.replace(/^\.\//, ''),
        bytes: size ?? 0,
        executable: ((mode ?? 0) & EXECUTABLE) !== 0,
        link: type === 'symlink' ? (linkname ?? '') : undefined,
        open: () => asDamage(path, entry as AsyncIterable<Uint8Array>),
      };
    }
    entry.resume();
  }
}

/** Files of `folder` and of those of its subfolders that `enter` accepts; links are followed. */
export async function* folderFiles(
  folder: string,
  enter: (path: string) => boolean,
  inside = '',
): AsyncGenerator<PackedFile> {
  for (const name of (await readdir(join(folder, inside))).sort()) {
    const path = inside === '' ? name : `${inside}/${name}`;
    const found = await stat(join(folder, path)).catch(() => undefined);
    if (found?.isDirectory() && enter(path)) yield* folderFiles(folder, enter, path);
    if (!found?.isFile()) continue;
    yield {
      path,
      bytes: found.size,
      executable: (found.mode & EXECUTABLE) !== 0,
      open: () => createReadStream(join(folder, path)),
    };
  }
}

/** Reading `path` failed: a fault of the archive, unless the system says it is one of storage. */
async function* asDamage<T>(path: string, parts: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* parts;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined || code.startsWith('Z_') ? damaged(path, error) : error;
  }
}

function damaged(path: string, cause: unknown): DataError {
  return new DataError(`the archive is damaged: ${(cause as Error).message}`, {
    where: path,
    fix: 'fetch it again',
    cause,
  });
}
