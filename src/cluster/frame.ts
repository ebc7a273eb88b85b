// Frames: the messages between two workers after the handshake, each a head and a body.

/** Kinds of frames. `alive` is a heartbeat; `stop` (with an error) and `done` are the last frame of their sender. */
export const KIND = {
  alive: 0,
  stop: 1,
  done: 2,
  gather: 3,
  broadcast: 4,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface Head {
  readonly kind: number;
  /** Number of the exchange that the body belongs to; all workers make the same exchanges in the same order. */
  readonly sequence: number;
  /** Length of the body in bytes. */
  readonly length: number;
}

export const HEAD_BYTES = 12;

/** Maximum length of a body in bytes: an error, metrics, numbers of a step. */
export const MAX_TEXT = 2 ** 16;

export function encodeHead({ kind, sequence, length }: Head): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, sequence, true);
  view.setUint32(8, length, true);
  return bytes;
}

export function decodeHead(bytes: Uint8Array): Head {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES);
  return {
    kind: view.getUint32(0, true),
    sequence: view.getUint32(4, true),
    length: view.getUint32(8, true),
  };
}
