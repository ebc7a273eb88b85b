// The six shapes at radius 1, centred on their centroid, y pointing down: once as an SVG path to draw them,
// once as a signed distance to measure them.

import type { Shape } from './vocabulary.ts';

const SQUARE = 0.88; // half a side
const TRIANGLE = 1.25; // from the centroid to a corner
const DIAMOND = { x: 0.95, y: 1.2 }; // half the diagonals
const CROSS = { length: 1.1, width: 0.37 }; // half an arm-to-arm span, half an arm's width
const RING = { outer: 1.05, inner: 0.52 };

/** How far a shape reaches from its centroid, in radii. */
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
  /** Negative inside; exact near straight edges, where it is read. */
  distance(x: number, y: number): number;
}

const HALF_BASE = (TRIANGLE * Math.sqrt(3)) / 2;

function circlePath(radius: number): string {
  return `M${-radius} 0a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0z`;
}

function evenExtent(side: number, up = side): Extent {
  return { side, up, down: up };
}

export const GEOMETRY: Readonly<Record<Shape, Geometry>> = {
  circle: {
    path: circlePath(1),
    extent: evenExtent(1),
    area: Math.PI,
    distance: (x, y) => Math.hypot(x, y) - 1,
  },
  square: {
    path: `M${-SQUARE} ${-SQUARE}h${2 * SQUARE}v${2 * SQUARE}h${-2 * SQUARE}z`,
    extent: evenExtent(SQUARE),
    area: 4 * SQUARE ** 2,
    distance: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - SQUARE,
  },
  triangle: {
    path: `M0 ${-TRIANGLE}L${HALF_BASE} ${TRIANGLE / 2}L${-HALF_BASE} ${TRIANGLE / 2}z`,
    extent: { side: HALF_BASE, up: TRIANGLE, down: TRIANGLE / 2 },
    area: HALF_BASE * 1.5 * TRIANGLE,
    distance: (x, y) => Math.max(y, (Math.abs(x) * Math.sqrt(3) - y) / 2) - TRIANGLE / 2,
  },
  diamond: {
    path: `M0 ${-DIAMOND.y}L${DIAMOND.x} 0L0 ${DIAMOND.y}L${-DIAMOND.x} 0z`,
    extent: evenExtent(DIAMOND.x, DIAMOND.y),
    area: 2 * DIAMOND.x * DIAMOND.y,
    distance: (x, y) =>
      (Math.abs(x) * DIAMOND.y + Math.abs(y) * DIAMOND.x - DIAMOND.x * DIAMOND.y) /
      Math.hypot(DIAMOND.x, DIAMOND.y),
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
    path: circlePath(RING.outer) + circlePath(RING.inner),
    extent: evenExtent(RING.outer),
    area: Math.PI * (RING.outer ** 2 - RING.inner ** 2),
    distance: (x, y) => {
      const radius = Math.hypot(x, y);
      return Math.max(radius - RING.outer, RING.inner - radius);
    },
  },
};
