// Images in WebDataset tars. Files of one stem are one example: KEY.jpg with KEY.txt or the `caption` of KEY.json.
// An archive is read once for its index; later each image is read at its offset.

import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar-stream';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import type { CaptionedImage } from '../image.ts';
import { textLines } from './captions.ts';
import { IMAGE_EXTENSIONS } from './folder.ts';

/** Bytes read at a time. */
const CHUNK_BYTES = 2 ** 20;
/** Longer texts are not captions. */
const MAX_TEXT_BYTES = 2 ** 20;

export const isArchive = (path: string): boolean => /\.tar$/i.test(path);
/** Compressed archives, which have no random access. */
export const isPackedArchive = (path: string): boolean => /\.(tar\.\w+|tgz|tbz2?|txz)$/i.test(path);

interface Example {
  image?: { readonly name: string; readonly offset: number; readonly length: number };
  text?: string;
  json?: string;
}

/**
 * The images of the archives, in their order; keys begin with the archive's name.
 * @param captions whether captions are read
 * @param orphanCaptions receives the names of captions without an image
 * @throws DataError when an archive cannot be read, is cut short, or two images of it share a key
 */
export async function readArchives(
  paths: readonly string[],
  captions: boolean,
  orphanCaptions: string[] = [],
): Promise<CaptionedImage[]> {
  const images: CaptionedImage[] = [];
  for (const path of paths) {
    for (const [stem, { image, text, json }] of await readIndex(path, captions)) {
      if (!image) {
        if (text !== undefined) orphanCaptions.push(`${path}/${stem}.txt`);
        continue;
      }
      const { name, offset, length } = image;
      const caption = text ?? captionInJson(json);
      images.push({
        key: `${basename(path).replace(/\.tar$/i, '')}/${stem}`,
        path: `${path}/${name}`,
        captions: textLines(caption ?? ''),
        region: { path, offset, length },
      });
    }
  }
  return images;
}

/** Examples by stem, in the order of their first files. A stem ends at the first dot of a file name. */
async function readIndex(path: string, captions: boolean): Promise<Map<string, Example>> {
  const examples = new Map<string, Example>();
  const extract = tar.extract();
  const index = async (): Promise<void> => {
    for await (const entry of extract) {
      const {
        name,
        size = 0,
        type,
        byteOffset,
      } = entry.header as typeof entry.header & {
        readonly byteOffset: number;
      };
      const [, stem, extension] = /^(?:\.\/)?((?:.*\/)?[^./][^./]*)\.([^/]+)$/.exec(name) ?? [];
      if ((type !== 'file' && type !== 'contiguous-file') || stem === undefined || extension === undefined) {
        entry.resume();
        continue;
      }
      const example = examples.get(stem) ?? {};
      examples.set(stem, example);
      const kind = `.${extension.toLowerCase()}`;
      if (IMAGE_EXTENSIONS.has(kind)) {
        if (example.image) throw duplicateImages(path, example.image.name, name);
        example.image = { name, offset: byteOffset, length: size };
      } else if (captions && size <= MAX_TEXT_BYTES && (kind === '.txt' || kind === '.json')) {
        example[kind === '.txt' ? 'text' : 'json'] = (await buffer(entry)).toString('utf8');
        continue;
      }
      entry.resume();
    }
  };
  try {
    await Promise.all([pipeline(createReadStream(path, { highWaterMark: CHUNK_BYTES }), extract), index()]);
  } catch (cause) {
    throw cause instanceof DataError ? cause : archiveError(path, cause);
  }
  return examples;
}

/** The `caption` in the JSON of an example, as img2dataset writes it; undefined when there is none. */
function captionInJson(json: string | undefined): string | undefined {
  if (json === undefined) return undefined;
  try {
    const { caption } = JSON.parse(json) as { caption?: unknown };
    return typeof caption === 'string' ? caption : undefined;
  } catch {
    return undefined;
  }
}

const duplicateImages = (path: string, one: string, other: string): DataError =>
  new DataError(`two images of the archive share a name: ${one}, ${other}`, {
    code: 'E_DUPLICATE_KEY',
    where: path,
    fix: 'an example is the files of one stem, KEY.jpg and KEY.txt; rename one of the images',
  });

function archiveError(path: string, cause: unknown): DataError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const fix = 'copy the archive again, or leave it out';
  if (code?.startsWith('E')) return readError(cause, path, 'archive', fix);
  return new DataError(`not a whole tar file: ${message}`, {
    code: 'E_ARCHIVE_DAMAGED',
    where: path,
    fix,
    cause,
  });
}
