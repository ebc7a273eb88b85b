// The six shapes at radius 1, centred on their centroid, y pointing down: as an SVG path for rendering and as a signed
// distance for measuring. They share local parts, so that a dVAE finds the same parts in several shapes: circle and
// ring their outline, triangle and diamond their slopes, square and cross the margin they leave in a cell of the demo's
// code grid; the hole of the ring is as large as four inner corners of the cross.

import type { Shape } from './vocabulary.ts';

const CIRCLE = 7 / 6;
const SQUARE = 1; // half a side
const DIAMOND = 1.225; // half a diagonal
const TRIANGLE = { up: (2 / 3) * DIAMOND, down: DIAMOND / 3 }; // the upper half of the diamond
const CROSS = { length: 7 / 6, width: 0.29 }; // half an arm-to-arm span, half an arm's width
const HOLE = 0.5;

/** Distances from the centroid of a shape to its sides, in radii. */
export interface Extent {
  readonly side: number;
  readonly up: number;
  readonly down: number;
}

export interface Geometry {
  readonly path: string;
  readonly extent: Extent;
  /** In squared radii. */
  readonly area: number;
  /** Signed distance to the edge, negative inside; exact near straight edges. */
  distance(x: number, y: number): number;
}

function circlePath(radius: number): string {
  return `M${-radius} 0a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0z`;
}

function evenExtent(side: number): Extent {
  return { side, up: side, down: side };
}

export const GEOMETRY: Readonly<Record<Shape, Geometry>> = {
  circle: {
    path: circlePath(CIRCLE),
    extent: evenExtent(CIRCLE),
    area: Math.PI * CIRCLE ** 2,
    distance: (x, y) => Math.hypot(x, y) - CIRCLE,
  },
  square: {
    path: `M${-SQUARE} ${-SQUARE}h${2 * SQUARE}v${2 * SQUARE}h${-2 * SQUARE}z`,
    extent: evenExtent(SQUARE),
    area: 4 * SQUARE ** 2,
    distance: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - SQUARE,
  },
  triangle: {
    path: `M0 ${-TRIANGLE.up}L${DIAMOND} ${TRIANGLE.down}H${-DIAMOND}z`,
    extent: { side: DIAMOND, ...TRIANGLE },
    area: DIAMOND ** 2,
    distance: (x, y) => Math.max(y - TRIANGLE.down, (Math.abs(x) - y - TRIANGLE.up) / Math.SQRT2),
  },
  diamond: {
    path: `M0 ${-DIAMOND}L${DIAMOND} 0L0 ${DIAMOND}L${-DIAMOND} 0z`,
    extent: evenExtent(DIAMOND),
    area: 2 * DIAMOND ** 2,
    distance: (x, y) => (Math.abs(x) + Math.abs(y) - DIAMOND) / Math.SQRT2,
  },
  cross: {
    path:
      `M${-CROSS.width} ${-CROSS.length}H${CROSS.width}V${-CROSS.width}H${CROSS.length}V${CROSS.width}` +
      `H${CROSS.width}V${CROSS.length}H${-CROSS.width}V${CROSS.width}H${-CROSS.length}V${-CROSS.width}H${-CROSS.width}z`,
    extent: evenExtent(CROSS.length),
    area: 8 * CROSS.length * CROSS.width - 4 * CROSS.width ** 2,
    distance: (x, y) => {
      const long = Math.max(Math.abs(x), Math.abs(y));
      const short = Math.min(Math.abs(x), Math.abs(y));
      return Math.max(long - CROSS.length, short - CROSS.width);
    },
  },
  ring: {
    path: circlePath(CIRCLE) + circlePath(HOLE),
    extent: evenExtent(CIRCLE),
    area: Math.PI * (CIRCLE ** 2 - HOLE ** 2),
    distance: (x, y) => {
      const radius = Math.hypot(x, y);
      return Math.max(radius - CIRCLE, HOLE - radius);
    },
  },
};
