// Archives that can only be read in order: compressed ones, pipes, and URLs. Each is copied into temporary storage,
// unpacked, and read there. A pipe may be a list, too. No command is run: a pipe is the shell's, `<(command)` or `-`.

import { constants, createReadStream, openSync } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { COMPRESSIONS, CONTENT_BYTES, contentOf } from '../content.ts';
import { readArchive } from './archive.ts';
import { readPipedList } from './lists.ts';
import type { OpenPart, PartAccess, ReadOptions, SourcePart } from './source.ts';
import { copyStream } from './spool.ts';

/** A small file that unpacks to this many bytes, and this many times its size, is made to fill the disk. */
const BOMB = { bytes: 2 ** 30, ratio: 200 } as const;

export const isUrl = (path: string): boolean => /^https?:\/\//i.test(path);
/** Standard input. */
export const isStandardInput = (path: string): boolean => path === '-' || path === '/dev/stdin';

/** An archive that is read in order. @param prefix the first part of its images' keys */
export const streamPart = (path: string, prefix: string, access: PartAccess): SourcePart => ({
  path,
  access,
  read: (options) => readStream(path, prefix, options),
});

async function readStream(path: string, prefix: string, options: ReadOptions): Promise<OpenPart> {
  const { captions, faults, signal } = options;
  const copy = await copied(path, signal).catch((error: unknown) => {
    throw streamError(error, path);
  });
  const close = (): Promise<void> => rm(copy, { force: true });
  try {
    if (!isUrl(path) && (await isText(copy))) {
      const list = await readPipedList(copy, options);
      await close();
      return list;
    }
    return { images: await readArchive(copy, { captions, faults, signal, prefix, name: path }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whether a file begins as a list does. */
async function isText(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CONTENT_BYTES), 0, CONTENT_BYTES, 0);
    const content = contentOf(buffer.subarray(0, bytesRead));
    return content === 'text-utf16' || (content === 'unknown' && !buffer.subarray(0, bytesRead).includes(0));
  } finally {
    await file.close();
  }
}

/** A copy of the archive, unpacked. */
async function copied(path: string, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const stream = (await openStream(path, signal)).on('error', () => {}); // thrown to its reader
  const stop = (): void => void stream.destroy(signal?.reason as Error);
  signal?.addEventListener('abort', stop);
  try {
    return await copyStream(unpacked(stream, path), signal);
  } finally {
    signal?.removeEventListener('abort', stop);
    stream.destroy();
  }
}

async function openStream(path: string, signal?: AbortSignal): Promise<Readable> {
  if (isStandardInput(path)) return process.stdin;
  if (!isUrl(path)) return openFile(path);
  const response = await fetch(path, signal ? { signal } : {});
  if (response.ok && response.body)
    return Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
  throw new DataError(`the server answers ${response.status} ${response.statusText}`, {
    code: 'E_DOWNLOAD',
    where: path,
    fix: 'check the address; where it needs a login, download the archive first',
  });
}

/** A pipe is opened without waiting for its writer: a thread that waits for data could not be stopped, nor the program. */
async function openFile(path: string): Promise<Readable> {
  const isPipe = (await stat(path)).isFIFO();
  if (!isPipe) return createReadStream(path, { highWaterMark: 2 ** 20 });
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/**
 * The stream, unpacked when its first bytes are those of gzip.
 * @throws DataError for another compression, and for a bomb
 */
export async function* unpacked(
  stream: AsyncIterable<Uint8Array>,
  path: string,
  bomb: { readonly bytes: number; readonly ratio: number } = BOMB,
): AsyncGenerator<Uint8Array, void> {
  const chunks = stream[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 512) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value as Uint8Array]);
  }
  let taken = 0;
  const rest = async function* (): AsyncGenerator<Uint8Array, void> {
    yield head;
    for (taken = head.length; ; ) {
      const { value, done } = await chunks.next();
      if (done) return;
      taken += (value as Uint8Array).length;
      yield value as Uint8Array;
    }
  };
  const content = contentOf(head);
  if (content !== 'gzip') {
    if (content === 'tar' || !(content in COMPRESSIONS)) return yield* rest();
    throw packed(path, content as keyof typeof COMPRESSIONS);
  }
  let bytes = 0;
  const gunzip = Readable.from(rest())
    .on('error', (error) => gunzip.destroy(error))
    .pipe(createGunzip());
  for await (const chunk of gunzip as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bomb.bytes && bytes > bomb.ratio * taken) {
      throw new DataError(`it unpacks to more than ${bomb.ratio} times its size`, {
        code: 'E_ARCHIVE_BOMB',
        where: path,
        fix: 'unpack it by hand if it is what you want',
      });
    }
    yield chunk;
  }
}

/** The DataError for an archive of a compression that is not read. */
export const packed = (where: string, compression: keyof typeof COMPRESSIONS): DataError =>
  new DataError(`the archive is compressed with ${compression}, which is not read`, {
    code: 'E_COMPRESSED_ARCHIVE',
    where,
    fix: `unpack it to a plain .tar, or as it is read: <(${COMPRESSIONS[compression]} ${where})`,
  });

function streamError(error: unknown, where: string): unknown {
  const { code, syscall, cause, message, name } = error as NodeJS.ErrnoException;
  if (error instanceof DataError || name === 'AbortError') return error;
  if (code?.startsWith('Z_')) {
    return new DataError(`the compressed archive is cut short or damaged (${message})`, {
      code: 'E_ARCHIVE_DAMAGED',
      where,
      fix: 'copy the archive again, or leave it out',
      cause: error,
    });
  }
  if (isUrl(where)) {
    return new DataError(`the download failed: ${(cause as Error | undefined)?.message ?? message}`, {
      code: 'E_DOWNLOAD',
      where,
      fix: 'check the address and the network, or download the archive first',
      cause: error,
    });
  }
  return syscall === undefined ? error : readError(error, where, 'archive');
}
