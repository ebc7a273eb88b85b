// Pictures of a folder, flat or nested, with the captions beside them.

import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { DataError } from '../util/errors.ts';

export interface Picture {
  /** Path relative to the folder, without the extension, with forward slashes. */
  readonly key: string;
  readonly path: string;
  /** What the same-stem `.txt` says, without white space around it. */
  readonly caption: string | undefined;
}

export interface ReadOptions {
  /** Whether pictures without a caption are an error, are kept, or captions are not looked at. */
  readonly captions: 'required' | 'optional' | 'ignore';
}

export const PICTURE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.avif',
  '.tif',
  '.tiff',
  '.gif',
]);

/** Caption files read at a time. */
const CHUNK = 256;

/**
 * The pictures of a folder in the order of their keys.
 * @throws DataError when there is no such folder, no picture in it, or a caption is missing, empty or alone
 */
export async function readFolder(path: string, { captions }: ReadOptions): Promise<Picture[]> {
  const names = await listFiles(path);
  const pictures = names.filter((name) => PICTURE_EXTENSIONS.has(extname(name).toLowerCase()));
  if (pictures.length === 0) {
    throw new DataError(
      names.length === 0 ? 'the folder is empty' : `none of the ${names.length} files is a picture`,
      {
        where: path,
        fix: `put pictures in it (${[...PICTURE_EXTENSIONS].join(' ')}), or name another folder`,
      },
    );
  }
  const keyed = pictures
    .map((name) => ({ key: keyOf(name), name }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  refuseTwins(keyed, path);
  if (captions === 'ignore')
    return keyed.map(({ key, name }) => ({ key, path: join(path, name), caption: undefined }));
  const texts = new Map(
    names.filter((name) => extname(name).toLowerCase() === '.txt').map((name) => [keyOf(name), name]),
  );
  const read: Picture[] = [];
  for (let start = 0; start < keyed.length; start += CHUNK) {
    const part = keyed.slice(start, start + CHUNK).map(async ({ key, name }): Promise<Picture> => {
      const text = texts.get(key);
      const caption = text === undefined ? undefined : (await readFile(join(path, text), 'utf8')).trim();
      return { key, path: join(path, name), caption: caption === '' ? undefined : caption };
    });
    read.push(...(await Promise.all(part)));
  }
  if (captions === 'required') requireCaptions(read, [...texts.keys()], path);
  return read;
}

const keyOf = (name: string): string =>
  name.slice(0, name.length - extname(name).length).replaceAll('\\', '/');

async function listFiles(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => join(entry.parentPath, entry.name).slice(join(path, '/').length));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const what =
      code === 'ENOENT'
        ? 'there is no such folder'
        : code === 'ENOTDIR'
          ? 'this is a file, not a folder'
          : `the folder cannot be read (${code})`;
    throw new DataError(what, { where: path, fix: 'name a folder of pictures', cause: error });
  }
}

/** Two pictures of one stem would share a caption and overwrite each other's tokens. */
function refuseTwins(keyed: readonly { key: string; name: string }[], path: string): void {
  const twin = keyed.find(({ key }, i) => i > 0 && keyed[i - 1]!.key === key);
  if (!twin) return;
  const names = keyed.filter(({ key }) => key === twin.key).map(({ name }) => name);
  throw new DataError(`pictures share a name: ${names.join(', ')}`, {
    where: path,
    fix: 'rename one of them; captions and tokens go by the name without its extension',
  });
}

function requireCaptions(pictures: readonly Picture[], texts: readonly string[], path: string): void {
  const bare = pictures.filter(({ caption }) => caption === undefined);
  const known = new Set(pictures.map(({ key }) => key));
  const alone = texts.filter((key) => !known.has(key));
  if (bare.length === 0 && alone.length === 0) return;
  const faults = [
    ...(bare.length > 0
      ? [
          `${bare.length} of ${pictures.length} pictures have no caption, or an empty one; the first is ${bare[0]!.path}`,
        ]
      : []),
    ...(alone.length > 0 ? [`${alone.length} captions have no picture; the first is ${alone[0]}.txt`] : []),
  ];
  throw new DataError(faults.join('; '), {
    where: path,
    fix: 'each picture needs a .txt of the same name beside it; mm data check lists them all',
  });
}
