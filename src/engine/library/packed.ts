// One interface for the files inside a wheel, zip archive, tarball or folder. Contents are streams: the largest file
// has 0.8 GB.

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32, createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { type Entry, openPromise } from 'yauzl';
import { DataError } from '../../util/errors.ts';

export interface PackedFile {
  /** Path inside the package, with forward slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly executable: boolean;
  /** Target of a symbolic link, whose content is empty. */
  readonly link?: string | undefined;
  /** Reads the content; call it once, before the next file is requested. @throws DataError when it is damaged */
  open(): AsyncIterable<Uint8Array>;
}

const EXECUTABLE = 0o100;

/** Files of a wheel or zip archive; the CRC-32 of each is checked while it is read. */
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
    if (crc !== entry.crc32) throw new Error(`${entry.fileName} does not have the CRC of the archive`);
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

/** Files of a tar archive; gunzips it unless its name ends in .tar. */
export async function* tarFiles(path: string): AsyncGenerator<PackedFile> {
  const entries = extract();
  const source = createReadStream(path);
  const unpacked = path.endsWith('.tar')
    ? pipeline(source, entries)
    : pipeline(source, createGunzip(), entries);
  // An error also destroys `entries`, whose loop then throws it.
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

/** Files of `folder` and of the subfolders that `enter` accepts; symbolic links are followed. */
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

/** Turns read errors into DataErrors about the archive, except for errors of the file system. */
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
    code: 'E_ARCHIVE_DAMAGED',
    where: path,
    fix: 'download it again',
    cause,
  });
}
