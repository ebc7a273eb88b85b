// Archives that can only be read in order: compressed ones, pipes, and URLs. Each is copied into temporary storage,
// unpacked, and read there. No command is run: a pipe is the shell's, `<(command)` or `-`.

import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import { COMPRESSIONS, contentOf } from '../content.ts';
import { readArchive } from './archive.ts';
import type { OpenPart, PartAccess, ReadOptions, SourcePart } from './source.ts';
import { copyStream } from './spool.ts';

/** A small file that unpacks to this many bytes, and this many times its size, is made to fill the disk. */
const BOMB_BYTES = 2 ** 30;
const BOMB_RATIO = 200;

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
  const copy = await copied(path, signal);
  const close = (): Promise<void> => rm(copy, { force: true });
  try {
    return { images: await readArchive(copy, { captions, faults, signal, prefix, name: path }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A copy of the archive, unpacked. */
async function copied(path: string, signal?: AbortSignal): Promise<string> {
  let forget = (): void => {};
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', stop);
    forget = () => signal?.removeEventListener('abort', stop);
  });
  const copy = async (): Promise<string> =>
    copyStream(unpacked(await openStream(path, signal), path), signal);
  try {
    // A pipe without data cannot be closed while it is read, so its end is not waited for.
    return await Promise.race([copy(), stopped]);
  } catch (error) {
    throw streamError(error, path);
  } finally {
    forget();
  }
}

async function openStream(path: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (isStandardInput(path)) return process.stdin;
  if (!isUrl(path)) return createReadStream(path, { highWaterMark: 2 ** 20 });
  const response = await fetch(path, signal ? { signal } : {});
  if (response.ok && response.body)
    return Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
  throw new DataError(`the server answers ${response.status} ${response.statusText}`, {
    code: 'E_DOWNLOAD',
    where: path,
    fix: 'check the address; where it needs a login, download the archive first',
  });
}

/** The stream, unpacked when its first bytes are those of gzip. */
async function* unpacked(stream: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array, void> {
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
    if (bytes > BOMB_BYTES && bytes > BOMB_RATIO * taken) {
      throw new DataError(`it unpacks to more than ${BOMB_RATIO} times its size`, {
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
