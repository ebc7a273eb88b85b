// The attention kinds: which positions of a stream of text and image tokens each position attends to (DALL·E,
// appendix B.1, figure 11). The stream is a prefix of text followed by a grid of image tokens in raster order. Text is
// causal. An image token attends to the whole prefix, padding included because padding tokens are learned, to itself
// and to these image tokens:
//   full       every earlier one
//   row        the `grid` ones before it
//   column     those above it in its column
//   conv       the earlier ones of the kernelSize × kernelSize square around it
//   axial-row  the earlier ones of its row (DALLE-pytorch's axial_row)
//   conv-like  the kernelSize × kernelSize square that it ends (DALLE-pytorch's conv_like)
//   conv-wrapped  as conv, where the square continues at the opposite sides of the grid (ruDALL-E before its version 3)
// Without tensors: attention-mask.ts and attention-pattern.ts apply these rules.

import type { AttentionKind } from '../config/dalle-model.ts';

export interface StreamLayout {
  /** Positions before the image. */
  readonly prefix: number;
  /** Image tokens on a side. */
  readonly grid: number;
  /** Side of the square of `conv`, `conv-like` and `conv-wrapped`; an even side reaches one further up and left than right. */
  readonly kernelSize: number;
}

/** Whether image token `query` attends to image token `key`; both count from 0 in raster order. */
function attendsInImage(kind: AttentionKind, query: number, key: number, layout: StreamLayout): boolean {
  const { grid, kernelSize } = layout;
  if (key > query) return false;
  const up = Math.floor(query / grid) - Math.floor(key / grid);
  const left = (query % grid) - (key % grid);
  switch (kind) {
    case 'full':
      return true;
    case 'row':
      return query - key <= grid;
    case 'column':
      return left === 0;
    case 'conv': {
      const before = Math.floor(kernelSize / 2);
      return up <= before && left <= before && -left <= kernelSize - 1 - before;
    }
    case 'conv-wrapped': {
      const isNear = (distance: number): boolean =>
        Math.min(Math.abs(distance), grid - Math.abs(distance)) <= Math.floor(kernelSize / 2);
      return isNear(up) && isNear(left);
    }
    case 'axial-row':
      return up === 0;
    case 'conv-like':
      return up < kernelSize && left >= 0 && left < kernelSize;
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

/** The kind of each of `layers` layers: `kinds` repeated, and `last` for the last layer when given. */
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
