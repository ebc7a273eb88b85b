// Captions from text: every line of the .txt files of a folder, or of one file. Read as a stream, line by line.

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../util/errors.ts';

/** Longer lines are no captions: something other than text, or line breaks of another kind. */
const MAX_LINE = 2 ** 20;

/** The file itself, or the .txt files of a folder and the folders in it, sorted by path. Throws DataError. */
export async function captionFiles(path: string): Promise<string[]> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const what = cause.code === 'ENOENT' ? 'there is no such file or folder' : cause.message;
    throw new DataError(what, { where: path, fix: 'name a text file or a folder of .txt captions', cause });
  });
  if (!stats.isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory() && entry.name.toLowerCase().endsWith('.txt'))
    .map((entry) => join(entry.parentPath, entry.name));
  if (files.length > 0) return files.sort();
  throw new DataError('the folder has no .txt captions', {
    where: path,
    fix: 'put captions beside the images, NAME.txt for NAME.png, or name one text file with a caption on each line',
  });
}

function notText(where: string, cause?: unknown): DataError {
  return new DataError('not a text file', { where, fix: 'save it as UTF-8 text, or take it out', cause });
}

/**
 * The lines of a UTF-8 file; `onBytes` is told how many bytes have been read.
 * @throws DataError when it is not text, or cannot be read
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
  const stream = createReadStream(file, { highWaterMark: 2 ** 18 });
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
    throw new DataError((error as Error).message, { where: file, fix: 'check the file', cause: error });
  }
  rest += decode();
  if (rest !== '') yield rest;
}
