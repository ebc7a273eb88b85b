// Recognises a source by looking at what its path leads to.

import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { counted } from '../../util/counted.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { COMPRESSIONS, CONTENT_BYTES, type Content, contentOf } from '../content.ts';
import { isTokenFolder } from '../tokens/read.ts';
import { readArchive } from './archive.ts';
import { extensionOf, isHidden, roleOf, stemOf } from './endings.ts';
import { folderPart } from './folder.ts';
import { isList, listPart } from './lists.ts';
import { commonFolder, mixSources } from './mix.ts';
import { expandBraces, expandPattern } from './patterns.ts';
import { inPlace, type Source, type SourcePart } from './source.ts';
import { isStandardInput, isUrl, packed, streamPart } from './streams.ts';
import { walkFolder } from './walk.ts';

export interface OpenSourceOptions {
  /** Times that an epoch has each image of the sources that the path joins by `::`. */
  readonly weights?: readonly number[] | undefined;
}

/**
 * Recognises a source. Reads no part of it.
 * @throws DataError when there is no such source, or it is of no known kind; UsageError for an address that is not read
 */
export async function openSource(path: string, { weights }: OpenSourceOptions = {}): Promise<Source> {
  const paths = path.split('::');
  if (weights !== undefined && weights.length !== paths.length) {
    throw new UsageError(`${counted(weights.length, 'weight')} for ${counted(paths.length, 'source')}`, {
      code: 'E_WEIGHTS',
      option: 'dataWeights',
      fix: 'give a weight for each source, in their order',
    });
  }
  if (paths.length === 1 && weights === undefined) return openOne(path);
  return mixSources(path, await Promise.all(paths.map(openOne)), weights);
}

async function openOne(path: string): Promise<Source> {
  if (isUrl(path)) return { path, base: '.', parts: await filesParts(expandBraces(path)) };
  if (isStandardInput(path)) return { path, base: '.', parts: await filesParts([path]) };
  assertReadable(path);
  const files = await expandPattern(path);
  const [only] = files;
  if (files.length === 1 && only !== undefined) {
    const stats = await stat(only).catch((cause: unknown) => {
      throw readError(cause, only, 'file or folder', 'name a folder of images');
    });
    if (stats.isDirectory()) return { path, base: only, parts: await folderParts(only) };
  }
  return { path, base: dirname(path), parts: await filesParts(files) };
}

function assertReadable(path: string): void {
  const [, scheme] = /^([a-z][a-z0-9+]+):/i.exec(path) ?? [];
  if (path === '') {
    throw new UsageError('the path is empty', { code: 'E_NO_PATH', fix: 'name a folder, tars or a list' });
  }
  if (scheme === 'pipe') {
    throw new UsageError('commands in paths are not run', {
      code: 'E_PIPE',
      where: path,
      fix: `let the shell run it: <(${path.slice('pipe:'.length).trim()})`,
    });
  }
  if (scheme === undefined || !/^[a-z0-9+]+:\/\//i.test(path)) return;
  throw new UsageError(`addresses of ${scheme} are not read`, {
    code: 'E_ADDRESS',
    where: path,
    fix: 'download the data first, or let the shell read it: <(command)',
  });
}

/** The parts of a folder: its tars, its Parquet files, or its images. */
async function folderParts(path: string): Promise<SourcePart[]> {
  const names = await readdir(path).catch((cause: unknown) => {
    throw readError(cause, path, 'folder', 'name a folder of images');
  });
  if (await isTokenFolder(path)) {
    throw new DataError('these are token shards: codes of images, not images', {
      code: 'E_TOKENS_NOT_IMAGES',
      where: path,
      fix: 'mm reconstruct makes images of them; mm train-dalle, mm train-bpe and mm data check read them as they are, mm rank and mm classify with the dVAE',
    });
  }
  const files = names.filter((name) => !isHidden(name)).sort();
  const archives = files.filter((name) => /\.(tar|tar\.gz|tgz)$/i.test(name));
  const tables = files.filter((name) => /\.parquet$/i.test(name));
  const chosen = archives.length > 0 ? archives : tables;
  if (chosen.length === 0) return [folderPart(path)];
  const images = (await walkFolder(path)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name));
  if (images.length > 0) {
    throw new DataError('the folder holds both images and tars', {
      code: 'E_MIXED_SOURCE',
      where: path,
      fix: 'put the tars in a separate folder, or name them by a pattern: tars-{000..012}.tar',
    });
  }
  return filesParts(chosen.map((name) => join(path, name)));
}

/** A part for each file, of the kind that it is. */
async function filesParts(files: readonly string[]): Promise<SourcePart[]> {
  const prefixes = keyPrefixes(files);
  const parts: SourcePart[] = [];
  for (const [i, file] of files.entries()) {
    try {
      parts.push(await filePart(file, prefixes[i] as string));
    } catch (error) {
      // One of several that is no data is a separate fault, when its turn comes.
      if (files.length === 1 || !(error instanceof DataError) || error.code !== 'E_NOT_A_SOURCE') throw error;
      parts.push({ path: file, access: 'direct', read: () => Promise.reject(error) });
    }
  }
  return parts;
}

async function filePart(path: string, prefix: string): Promise<SourcePart> {
  if (isUrl(path)) return streamPart(path, prefix, 'copied');
  if (isStandardInput(path)) return streamPart(path, 'stdin', 'once');
  // Tars of a pattern are looked at when their turn comes: there may be 100,000.
  if (/\.tar$/i.test(path)) return tarPart(path, prefix);
  if (/\.(tar\.gz|tgz)$/i.test(path)) return streamPart(path, prefix, 'copied');
  const stats = await stat(path).catch((cause: unknown) => {
    throw readError(cause, path, 'file or folder', 'check the path');
  });
  if (stats.isDirectory()) return folderPart(path);
  if (!stats.isFile()) return streamPart(path, prefix, 'once');
  const content = await contentOfFile(path);
  if (content === 'tar') return tarPart(path, prefix);
  if (content === 'gzip') return streamPart(path, prefix, 'copied');
  // Loaded where it is needed: its packages are forty files, a tenth of the start of a command.
  if (content === 'parquet') return (await import('./parquet.ts')).parquetPart(path, prefix);
  if (content in COMPRESSIONS) throw packed(path, content as keyof typeof COMPRESSIONS);
  if (roleOf(extensionOf(path)).endsWith('image') || IMAGES.has(content)) return imagePart(path);
  if (KINDS[content]) throw unknownKind(path, content);
  if (isList(path) || /^(unknown|text-utf16)$/.test(content)) return listPart(path);
  throw unknownKind(path, content);
}

const tarPart = (path: string, prefix: string): SourcePart => ({
  path,
  access: 'direct',
  read: async ({ captions, faults, signal }) =>
    inPlace(await readArchive(path, { captions, faults, signal, prefix })),
});

/** One image, whose captions are not looked for. */
const imagePart = (path: string): SourcePart => ({
  path,
  access: 'direct',
  read: async () => inPlace([{ key: stemOf(basename(path)), path, captions: [] }]),
});

const IMAGES: ReadonlySet<Content> = new Set([
  'jpeg',
  'png',
  'gif',
  'webp',
  'tiff',
  'bmp',
  'avif',
  'heic',
  'jxl',
]);

async function contentOfFile(path: string): Promise<Content> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw readError(cause, path, 'file');
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CONTENT_BYTES), 0, CONTENT_BYTES, 0);
    return contentOf(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

const KINDS: Partial<Readonly<Record<Content, readonly [what: string, fix: string]>>> = {
  'lfs-pointer': ['a Git LFS pointer, not the file itself', 'fetch it: git lfs pull'],
  'web-page': ['a web page, not data', 'download the file itself'],
  empty: ['an empty file', 'copy it again'],
  zip: ['a zip archive', 'unpack it into a folder'],
  arrow: ['an Arrow file', 'save the data set as Parquet: dataset.to_parquet(…)'],
  '7z': ['a 7-Zip archive', 'unpack it into a folder'],
  rar: ['a RAR archive', 'unpack it into a folder'],
  hdf5: ['an HDF5 file', 'write its images into a folder or tars'],
  pickle: ['a Python pickle, which is never loaded', 'write its images into a folder or tars'],
};

function unknownKind(where: string, content: Content): DataError {
  const [what, fix] = KINDS[content] ?? [
    `one file (${content}), not a data set`,
    'name a folder, tars or a list',
  ];
  return new DataError(`this is ${what}`, { code: 'E_NOT_A_SOURCE', where, fix });
}

/** The first part of the keys of each archive's images: its name, or its path where several have one name. */
function keyPrefixes(paths: readonly string[]): string[] {
  const names = paths.map((path) => withoutEnding(basename(isUrl(path) ? new URL(path).pathname : path)));
  if (new Set(names).size === names.length) return names;
  const base = commonFolder(paths.map(dirname));
  return paths.map((path) => withoutEnding(relative(base, resolve(path)).split(sep).join('/')));
}

const withoutEnding = (name: string): string => name.replace(/\.(tar|tar\.gz|tgz|parquet)$/i, '');
