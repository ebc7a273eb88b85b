// Captions of text files: every line of the .txt files of a folder, or of one file, read as a stream.

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';

/** Longer lines are not captions: the file is not text, or has other line breaks. */
const MAX_LINE = 2 ** 20;
/** Bytes read at a time. */
const CHUNK_BYTES = 2 ** 18;

/** The file itself, or the .txt files of a folder and its subfolders, sorted by path. Throws DataError. */
export async function captionFiles(path: string): Promise<string[]> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw readError(cause, path, 'file or folder', 'name a text file or a folder of .txt captions');
  });
  if (!stats.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory() && entry.name.toLowerCase().endsWith('.txt'))
    .map((entry) => join(entry.parentPath, entry.name));
  if (files.length > 0) return files.sort();
  throw new DataError('the folder has no .txt captions', {
    code: 'E_NO_CAPTION',
    where: path,
    fix: 'put captions beside the images, NAME.txt for NAME.png, or name one text file with a caption on each line',
  });
}

function notText(where: string, cause?: unknown): DataError {
  return new DataError('not a text file', {
    code: 'E_NOT_TEXT',
    where,
    fix: 'save it as UTF-8 text, or remove it',
    cause,
  });
}

/**
 * Reads the lines of a UTF-8 file.
 * @param onBytes called with the number of bytes read so far
 * @throws DataError when the file is not text or cannot be read
 */
export async function* readLines(file: string, onBytes?: (bytes: number) => void): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (bytes?: Buffer): string => {
    if (bytes?.includes(0)) throw notText(file);
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (cause) {
      throw notText(file, cause);
    }
  };
  let rest = '';
  let read = 0;
  const stream = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      read += chunk.length;
      onBytes?.(read);
      const lines = (rest + decode(chunk)).split('\n');
      rest = lines.pop() as string;
      if (rest.length > MAX_LINE) throw notText(file);
      yield* lines;
    }
  } catch (error) {
    if (error instanceof DataError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw readError(error, file, 'file');
  }
  rest += decode();
  if (rest !== '') yield rest;
}
