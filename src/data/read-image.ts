// The bytes of image files: files by themselves, and parts of archives.

import { closeSync, createReadStream, fstatSync, open, read } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { type ByteRange, ImageFault, type ImageFile } from './image.ts';

/** A file is in memory while it is decoded. */
const MAX_FILE_BYTES = 2 ** 30;

/**
 * Reads the bytes of an image file.
 * @throws ImageFault when it cannot be read
 */
export async function readImageFile({ path, region }: ImageFile): Promise<Uint8Array> {
  try {
    return await (region ? readRegion(region) : readWhole(path));
  } catch (error) {
    throw readFault(error);
  }
}

/** Reads a file under its name, or under the other Unicode forms of it: a list may come from another file system. */
async function readWhole(path: string): Promise<Uint8Array> {
  const forms = new Set([path, path.normalize('NFC'), path.normalize('NFD')]);
  if (forms.size === 1) return readRegular(path);
  for (const form of forms) if (await stat(form).catch(() => undefined)) return readRegular(form);
  return readRegular(path);
}

const openFile = promisify(open);
const readBytes = promisify(read);
/** To the end, which the size of a pipe does not say. */
const readStream = (file: number): Promise<Buffer> =>
  buffer(createReadStream('', { fd: file, autoClose: false }));

/**
 * Calls `use` with a descriptor of the file. What may wait for a disk is left to other threads, each time at the cost of
 * half a read; what is known of an open file, and closing it, is not.
 */
async function withFile<T>(path: string, use: (file: number) => Promise<T>): Promise<T> {
  const file = await openFile(path, 'r');
  try {
    return await use(file);
  } finally {
    closeSync(file);
  }
}

const readRegular = (path: string): Promise<Uint8Array> =>
  withFile(path, async (file) => {
    const stats = fstatSync(file);
    // Reading a device would not end; a pipe has an end when its writer has.
    if (!stats.isFile() && !stats.isDirectory() && !stats.isFIFO())
      throw new ImageFault('no regular file', { kind: 'unreadable-file' });
    if (stats.size > MAX_FILE_BYTES)
      throw new ImageFault(`${stats.size} bytes; at most ${MAX_FILE_BYTES} are read`, { kind: 'image-size' });
    if (!stats.isFile() || stats.size === 0) return readStream(file);
    const data = Buffer.allocUnsafeSlow(stats.size);
    const { bytesRead } = await readBytes(file, data, 0, data.length, 0);
    // A file that grows or shrinks meanwhile, or a file system that gives less than asked for.
    return bytesRead === data.length ? data : readFile(path);
  });

async function readRegion({ path, offset, length }: ByteRange): Promise<Uint8Array> {
  if (length > MAX_FILE_BYTES)
    throw new ImageFault(`${length} bytes; at most ${MAX_FILE_BYTES} are read`, { kind: 'image-size' });
  return withFile(path, async (file) => {
    const data = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await readBytes(file, data, 0, length, offset);
    if (bytesRead < length) throw new ImageFault('the archive ends inside it', { kind: 'damaged-image' });
    return data;
  });
}

function readFault(error: unknown): ImageFault {
  if (error instanceof ImageFault) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const fault = (text: string): ImageFault => new ImageFault(text, { kind: 'unreadable-file', cause: error });
  if (code === 'EACCES' || code === 'EPERM') return fault('no permission to read the file');
  if (code === 'EISDIR') return fault('a folder, not a file');
  if (code === 'ENOENT') return fault('the file is gone, or a link to nothing');
  return fault(`the file cannot be read (${code ?? message})`);
}
