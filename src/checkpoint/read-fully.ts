// Bytes out of an open file, all of them or an error.

import type { FileHandle } from 'node:fs/promises';

/** The system's calls stop at 2 GiB. */
const MAX_CONCURRENT = 2 ** 30;

/** Fills `bytes` from `position` on; throws what `endsAt` makes of the place where the file ends before that. */
export async function readFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  endsAt: (place: number) => Error,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(MAX_CONCURRENT, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw endsAt(position + done);
    done += bytesRead;
  }
}
