// What goes over a connection between two workers that know each other: frames, each a head and a body.

/** What a frame is for. `alive` says nothing but that its sender lives; after `stop` and `done` nothing follows. */
export const KIND = {
  alive: 0,
  stop: 1,
  done: 2,
  reduceScatter: 3,
  allGather: 4,
  gather: 5,
  broadcast: 6,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface Head {
  readonly kind: number;
  /** Number of the exchange that the body belongs to: all workers make the same ones in the same order. */
  readonly sequence: number;
  /** Bytes of the body. */
  readonly length: number;
}

export const HEAD_BYTES = 12;

/** Numbers in a body at most. */
export const CHUNK_LENGTH = 2 ** 18;

/** No body is longer. */
export const MAX_BYTES = CHUNK_LENGTH * Float32Array.BYTES_PER_ELEMENT;

/** Of a text: an error with its place, names of images, figures. */
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
