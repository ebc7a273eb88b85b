// Identifies an object: its colour by the direction from the background, its shape by the template with the best
// overlap with its soft mask.

import { GEOMETRY } from '../geometry.ts';
import { type Colour, type RgbColour, SHAPES, type Shape } from '../vocabulary.ts';
import { difference, nearestColour, shareOf } from './colour.ts';
import { neighbours, pixelAt, type RgbImage, type Segment } from './segment.ts';

/** Least intersection over union with the best template. */
const MIN_FIT = 0.7;
/** Least cosine to a palette colour: about 12°; the closest two of the palette are 16° apart. */
const MIN_COSINE = Math.cos((12 * Math.PI) / 180);
/** Least share of an object's colour, at its 80th percentile; a tint has less. */
const MIN_STRENGTH = 0.5;
/** Widths of a template's edge in pixels: as rendered, and blurred. */
const EDGES = [1, 2.2];
/** Shapes further behind the best initial fit than this, in intersection over union, are not refined. */
const MAX_START_DEFICIT = 0.15;

export interface FoundObject {
  /** Undefined when no palette colour is close. */
  readonly colour: Colour | undefined;
  /** Undefined when no shape fits. */
  readonly shape: Shape | undefined;
  /** Centroid, as a share of the side. */
  readonly x: number;
  readonly y: number;
  /** Middle of the fitted shape's bounding box, as a share of the side. */
  readonly middle: readonly [x: number, y: number];
  /** Radius of the fitted shape, as a share of the side. */
  readonly radius: number;
  /** Intersection over union of the object and the fitted shape. */
  readonly fit: number;
}

/** Coverage of each pixel of a window by the object, 0 … 1. */
interface Mask {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly values: Float64Array;
}

interface Moments {
  readonly x: number;
  readonly y: number;
  readonly mass: number;
}

interface Candidate {
  readonly shape: Shape;
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly edge: number;
  readonly fit: number;
}

function identifyColour(image: RgbImage, segment: Segment, background: RgbColour): Colour | undefined {
  const sum: [number, number, number] = [0, 0, 0];
  for (const index of segment) {
    const away = difference(background, pixelAt(image, index));
    for (const channel of [0, 1, 2] as const) sum[channel] += away[channel];
  }
  const { colour, cosine } = nearestColour(sum, background);
  const strengths = segment.map((index) => share(image, index, background, colour)).sort((a, b) => a - b);
  const strength = strengths[Math.floor(0.8 * strengths.length)]!;
  return cosine >= MIN_COSINE && strength >= MIN_STRENGTH ? colour : undefined;
}

/** Share of `colour` in a pixel; the rest is background. */
function share(image: RgbImage, index: number, background: RgbColour, colour: Colour): number {
  return shareOf(colour, difference(background, pixelAt(image, index)), background);
}

/** The segment and the pixels beside it, which its edge covers in part. */
function softMask(image: RgbImage, segment: Segment, background: RgbColour, colour: Colour): Mask {
  const { size } = image;
  const covered = new Set(segment);
  for (const index of segment) for (const next of neighbours(index, size)) covered.add(next);
  const columns = segment.map((index) => index % size);
  const rows = segment.map((index) => Math.floor(index / size));
  const left = Math.min(...columns) - 2;
  const top = Math.min(...rows) - 2;
  const width = Math.max(...columns) + 3 - left;
  const height = Math.max(...rows) + 3 - top;
  const values = new Float64Array(width * height);
  for (const index of covered)
    values[(Math.floor(index / size) - top) * width + (index % size) - left] = share(
      image,
      index,
      background,
      colour,
    );
  return { left, top, width, height, values };
}

/** Soft intersection over union of the mask and a shape. */
function templateOverlap(
  mask: Mask,
  shape: Shape,
  x: number,
  y: number,
  radius: number,
  edge: number,
): number {
  const { distance } = GEOMETRY[shape];
  let intersection = 0;
  let union = 0;
  for (let row = 0; row < mask.height; row++) {
    const v = (mask.top + row + 0.5 - y) / radius;
    for (let column = 0; column < mask.width; column++) {
      const u = (mask.left + column + 0.5 - x) / radius;
      const covered = Math.min(1, Math.max(0, 0.5 - (distance(u, v) * radius) / edge));
      const value = mask.values[row * mask.width + column]!;
      intersection += Math.min(covered, value);
      union += Math.max(covered, value);
    }
  }
  return intersection / union;
}

/** The shape at the centroid of the mask, with the area of the mask. */
function initialFit(mask: Mask, shape: Shape, { x, y, mass }: Moments): Candidate {
  const radius = Math.sqrt(mass / GEOMETRY[shape].area);
  const fits = EDGES.map((edge) => ({
    shape,
    x,
    y,
    radius,
    edge,
    fit: templateOverlap(mask, shape, x, y, radius, edge),
  }));
  return fits.reduce((a, b) => (b.fit > a.fit ? b : a));
}

/** Hill climbing from a start to the placement of its shape with the best overlap. */
function climb(mask: Mask, start: Candidate): Candidate {
  let best = start;
  const improve = (change: Partial<Candidate>, from: Candidate): boolean => {
    const next = { ...from, ...change };
    const fit = templateOverlap(mask, next.shape, next.x, next.y, next.radius, next.edge);
    if (fit <= best.fit) return false;
    best = { ...next, fit };
    return true;
  };
  for (let step = start.radius / 8; step > 0.1; step /= 2) {
    for (let moved = true; moved; ) {
      const from = best;
      moved = [-step, step]
        .flatMap((by) => [{ x: from.x + by }, { y: from.y + by }, { radius: from.radius + by }])
        .map((change) => improve(change, from))
        .some(Boolean);
    }
    for (const edge of EDGES) improve({ edge }, best);
  }
  return best;
}

/** The shape with the best overlap with the mask. */
function fitShape(mask: Mask, start: Moments): Candidate {
  const starts = SHAPES.map((shape) => initialFit(mask, shape, start));
  const leader = Math.max(...starts.map(({ fit }) => fit));
  return starts
    .filter(({ fit }) => fit > leader - MAX_START_DEFICIT)
    .map((candidate) => climb(mask, candidate))
    .reduce((a, b) => (b.fit > a.fit ? b : a));
}

function moments(mask: Mask): Moments {
  let [x, y, mass] = [0, 0, 0];
  mask.values.forEach((value, i) => {
    x += value * (mask.left + (i % mask.width) + 0.5);
    y += value * (mask.top + Math.floor(i / mask.width) + 0.5);
    mass += value;
  });
  return { x: x / mass, y: y / mass, mass };
}

/** Identifies the object that covers a segment. */
export function identify(image: RgbImage, segment: Segment, background: RgbColour): FoundObject {
  const { size } = image;
  const colour = identifyColour(image, segment, background);
  const mask = softMask(image, segment, background, colour ?? 'black');
  const start = moments(mask);
  const best = fitShape(mask, start);
  const { up, down } = GEOMETRY[best.shape].extent;
  return {
    colour,
    shape: best.fit >= MIN_FIT ? best.shape : undefined,
    x: start.x / size,
    y: start.y / size,
    middle: [best.x / size, (best.y + (best.radius * (down - up)) / 2) / size],
    radius: best.radius / size,
    fit: best.fit,
  };
}
