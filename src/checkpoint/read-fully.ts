// Reads a range of bytes from an open file, whole or with an error.

import type { FileHandle } from 'node:fs/promises';

/** Bytes of one read; the system's calls stop at 2 GiB. */
const MAX_READ_BYTES = 2 ** 30;

/**
 * Fills `bytes` with the file's bytes from `position`.
 * @param endsAt makes the error to throw when the file ends too early, from the position of its end
 */
export async function readFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  endsAt: (end: number) => Error,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(MAX_READ_BYTES, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw endsAt(position + done);
    done += bytesRead;
  }
}
