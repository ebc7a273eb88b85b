// Which positions of a stream of text and image tokens each position attends to (DALL·E, appendix B.1, figure 11).
// The stream is a prefix of text followed by a grid of image tokens in raster order. Text is causal. An image token
// attends to the whole prefix, padding included because padding tokens are learned, and of the image to itself and:
//   full    every earlier token
//   row     the `grid` tokens before it
//   column  the tokens above it in its column
//   conv    the earlier tokens of the convolution × convolution square around it
// and, as DALLE-pytorch has them (axial_row and conv_like):
//   axial-row  the earlier tokens of its row
//   corner  the convolution × convolution square that it ends
// This file holds the rule and knows nothing of tensors.

import type { AttentionKind } from '../config/dalle.ts';

export interface StreamLayout {
  /** Positions before the image. */
  readonly prefix: number;
  /** Image tokens on a side. */
  readonly grid: number;
  /** Side of the neighbourhood of `conv`; an even side reaches one further up and left than right. */
  readonly kernelSize: number;
}

/** Whether image token `query` attends to image token `key`; both count from 0 in raster order. */
function attendsInImage(kind: AttentionKind, query: number, key: number, layout: StreamLayout): boolean {
  const { grid, kernelSize: convolution } = layout;
  if (key > query) return false;
  switch (kind) {
    case 'full':
      return true;
    case 'row':
      return query - key <= grid;
    case 'column':
      return (query - key) % grid === 0;
    case 'conv': {
      const up = Math.floor(query / grid) - Math.floor(key / grid);
      const left = (query % grid) - (key % grid);
      const before = Math.floor(convolution / 2);
      return up <= before && left <= before && -left <= convolution - 1 - before;
    }
    case 'axial-row':
      return Math.floor(query / grid) === Math.floor(key / grid);
    case 'conv-like': {
      const up = Math.floor(query / grid) - Math.floor(key / grid);
      const left = (query % grid) - (key % grid);
      return up < convolution && left >= 0 && left < convolution;
    }
    default:
      return kind satisfies never;
  }
}

/** Whether position `query` of the stream attends to position `key`. */
export function attends(kind: AttentionKind, query: number, key: number, layout: StreamLayout): boolean {
  if (query < layout.prefix) return key <= query;
  if (key < layout.prefix) return true;
  return attendsInImage(kind, query - layout.prefix, key - layout.prefix, layout);
}

/** The first `length` positions against each other, row-major by query: 1 where the query attends to the key. */
export function attentionMask(
  kind: AttentionKind,
  layout: StreamLayout,
  length = layout.prefix + layout.grid ** 2,
): Uint8Array {
  return Uint8Array.from({ length: length ** 2 }, (_, i) =>
    Number(attends(kind, Math.floor(i / length), i % length, layout)),
  );
}

/** The attention of each of `layers` layers: `kinds` over and over, and `last` for the last layer where given. */
export function attentionOrder(
  layers: number,
  kinds: readonly AttentionKind[],
  last?: AttentionKind,
): AttentionKind[] {
  return Array.from({ length: layers }, (_, layer) => {
    const kind = kinds[layer % kinds.length] as AttentionKind;
    return layer === layers - 1 ? (last ?? kind) : kind;
  });
}
