// The bytes of image files: files by themselves, and parts of archives.

import { open, readFile, stat } from 'node:fs/promises';
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

async function readRegular(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const stats = await file.stat();
    // Reading a device would not end; a pipe has an end when its writer has.
    if (!stats.isFile() && !stats.isDirectory() && !stats.isFIFO())
      throw new ImageFault('no regular file', { kind: 'unreadable-file' });
    if (stats.size > MAX_FILE_BYTES)
      throw new ImageFault(`${stats.size} bytes; at most ${MAX_FILE_BYTES} are read`, { kind: 'image-size' });
    if (!stats.isFile() || stats.size === 0) return await file.readFile();
    const data = Buffer.allocUnsafeSlow(stats.size);
    const { bytesRead } = await file.read(data, 0, data.length, 0);
    // A file that grows or shrinks meanwhile, or a file system that gives less than asked for.
    return bytesRead === data.length ? data : await readFile(path);
  } finally {
    await file.close();
  }
}

async function readRegion({ path, offset, length }: ByteRange): Promise<Uint8Array> {
  if (length > MAX_FILE_BYTES)
    throw new ImageFault(`${length} bytes; at most ${MAX_FILE_BYTES} are read`, { kind: 'image-size' });
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset);
    if (bytesRead < length) throw new ImageFault('the archive ends inside it', { kind: 'damaged-image' });
    return buffer;
  } finally {
    await file.close();
  }
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
