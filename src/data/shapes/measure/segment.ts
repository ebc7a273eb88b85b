// Finds the objects of a shape image by their colour against the background, from the pixels alone.

import { COLOUR_NAMES, type RgbColour } from '../vocabulary.ts';
import { difference, nearestColour, shareOf } from './colour.ts';

/** Least share of an object's colour in its pixels; the rest is background. */
const PRESENCE = 0.45;
/** Least level of a background; on darker ones nothing is found. */
const MIN_BACKGROUND = 190;
/** Least share of the image in an object (12 pixels of 32 × 32); smaller spots are noise. */
const MIN_OBJECT = 12 / 1024;
/** Least share of a segment in a part of another colour that counts as a separate object. */
const MIN_PART = 0.2;

export interface RgbImage {
  /** RGB, rows first. */
  readonly pixels: Uint8Array;
  /** Pixels on a side. */
  readonly size: number;
}

/** Pixel indices, row · size + column. */
export type Segment = readonly number[];

export interface Segmentation {
  readonly background: RgbColour;
  readonly segments: readonly Segment[];
}

export function pixelAt({ pixels }: RgbImage, index: number): RgbColour {
  return [pixels[3 * index]!, pixels[3 * index + 1]!, pixels[3 * index + 2]!];
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)]!;
}

/** The median colour of the outermost pixels, which objects do not touch. */
function estimateBackground(image: RgbImage): RgbColour {
  const { size } = image;
  const frame: RgbColour[] = [];
  for (let i = 0; i < size; i++)
    for (const index of [i, (size - 1) * size + i, i * size, i * size + size - 1])
      frame.push(pixelAt(image, index));
  return [0, 1, 2].map((channel) => median(frame.map((rgb) => rgb[channel]!))) as unknown as RgbColour;
}

/** `background − pixel`, summed over a pixel and its eight neighbours: JPEG stores colour coarser than lightness. */
function awayAround(image: RgbImage, index: number, background: RgbColour): RgbColour {
  const { size } = image;
  const [row, column] = [Math.floor(index / size), index % size];
  const sum: [number, number, number] = [0, 0, 0];
  for (let y = Math.max(0, row - 1); y <= Math.min(size - 1, row + 1); y++) {
    for (let x = Math.max(0, column - 1); x <= Math.min(size - 1, column + 1); x++) {
      const away = difference(background, pixelAt(image, y * size + x));
      for (const channel of [0, 1, 2] as const) sum[channel] += away[channel];
    }
  }
  return sum;
}

/** Segments of equal positive labels, connected by sides. */
function connectedSegments(labels: Int32Array, size: number): number[][] {
  const seen = new Uint8Array(labels.length);
  const found: number[][] = [];
  for (let start = 0; start < labels.length; start++) {
    if (seen[start] || labels[start]! <= 0) continue;
    const segment = [start];
    seen[start] = 1;
    for (let head = 0; head < segment.length; head++) {
      for (const next of neighbours(segment[head]!, size)) {
        if (seen[next] || labels[next] !== labels[start]) continue;
        seen[next] = 1;
        segment.push(next);
      }
    }
    found.push(segment);
  }
  return found;
}

export function neighbours(index: number, size: number): number[] {
  const column = index % size;
  const around = [];
  if (column > 0) around.push(index - 1);
  if (column < size - 1) around.push(index + 1);
  if (index >= size) around.push(index - size);
  if (index < size * (size - 1)) around.push(index + size);
  return around;
}

/** Splits a segment where objects of different colours touch: each pixel goes to the closest part. */
function splitByColour(segment: Segment, colours: Int32Array, size: number): Segment[] {
  const labels = new Int32Array(colours.length);
  for (const index of segment) labels[index] = colours[index]!;
  const parts = connectedSegments(labels, size).filter((part) => part.length >= MIN_PART * segment.length);
  if (new Set(parts.map((part) => labels[part[0]!])).size < 2) return [segment];

  const owner = new Int32Array(colours.length).fill(-1);
  parts.forEach((part, i) => {
    for (const index of part) owner[index] = i;
  });
  const queue = parts.flat();
  for (let head = 0; head < queue.length; head++) {
    for (const next of neighbours(queue[head]!, size)) {
      if (labels[next] === 0 || owner[next] !== -1) continue;
      owner[next] = owner[queue[head]!]!;
      queue.push(next);
    }
  }
  return parts.map((_, i) => segment.filter((index) => owner[index] === i));
}

/** The objects of an image, each a connected segment of one colour, and the background. */
export function segment(image: RgbImage): Segmentation {
  const { size } = image;
  const background = estimateBackground(image);
  if (Math.min(...background) < MIN_BACKGROUND) return { background, segments: [] };
  const colours = new Int32Array(size * size);
  for (let index = 0; index < colours.length; index++) {
    const away = difference(background, pixelAt(image, index));
    const { colour } = nearestColour(awayAround(image, index, background), background);
    if (shareOf(colour, away, background) >= PRESENCE) colours[index] = 1 + COLOUR_NAMES.indexOf(colour);
  }
  const smallest = MIN_OBJECT * size * size;
  const segments = connectedSegments(
    colours.map((colour) => Math.min(colour, 1)),
    size,
  )
    .filter((segment) => segment.length >= smallest)
    .flatMap((segment) => splitByColour(segment, colours, size))
    .filter((segment) => segment.length >= smallest);
  return { background, segments };
}
