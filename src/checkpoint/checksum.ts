// The checksums of a checkpoint's files. They guard against damage alone: a file and its checksum are in one folder.
// SHA-256 identifies contents, wherever they are, and is written of every file. Files of tensors have CRC-32s beside it,
// which a processor computes faster than a disk reads.

import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** Bytes that have a CRC-32: in 16 MiB it finds every damage within 32 bits, and any two flipped bits. */
export const PIECE_BYTES = 2 ** 24;

/** Length and checksums of a file. */
export interface FileRecord {
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
  /** Of a file of tensors: the CRC-32 of each `PIECE_BYTES`, of eight hexadecimal digits, one after the other. */
  readonly crc32?: string | undefined;
}

/** A checksum of bytes that are given in their order. */
export interface Checksum {
  update(bytes: Uint8Array): unknown;
  /** In hexadecimal, of all bytes. To be called once. */
  digest(): string;
}

export function sha256(): Checksum {
  const hash = createHash('sha256');
  return { update: (bytes) => hash.update(bytes), digest: () => hash.digest('hex') };
}

/** The CRC-32 of each piece of `pieceBytes`: see `FileRecord.crc32`. */
export function pieceChecksums(pieceBytes = PIECE_BYTES): Checksum {
  let done = '';
  let filled = 0;
  let piece = 0;
  const endPiece = (): void => {
    done += piece.toString(16).padStart(8, '0');
    [filled, piece] = [0, 0];
  };
  return {
    update(bytes) {
      for (let start = 0; start < bytes.length; ) {
        const part = bytes.subarray(start, start + pieceBytes - filled);
        piece = crc32(part, piece);
        start += part.length;
        filled += part.length;
        if (filled === pieceBytes) endPiece();
      }
    },
    digest() {
      if (filled > 0) endPiece();
      return done;
    },
  };
}

/** The fastest checksum that a file was recorded with; `matches` says whether the bytes given are the file's. */
export function checkOf({ sha256: hash, crc32: pieces }: FileRecord): {
  update(bytes: Uint8Array): void;
  matches(): boolean;
} {
  const checksum = pieces === undefined ? sha256() : pieceChecksums();
  return {
    update: (bytes) => void checksum.update(bytes),
    matches: () => checksum.digest() === (pieces ?? hash),
  };
}
