// Rotary position embeddings (arXiv 2104.09864) of text and image, as in DALLE-pytorch: ⌊d / 3⌋ of a head's channels
// rotate with the text position, as many with the image row and as many with the image column. Queries, keys and values
// all rotate.
//   B batch, A heads, N positions, d width of a head

import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import type { StreamLayout } from './attention-kinds.ts';

/** Position of image tokens in the text's third, and of text in the image's thirds, where the image spans −1 … 1. */
const IMAGE_IN_TEXT = 8192;
const TEXT_IN_IMAGE = -10;
const SLOWEST_TEXT = 10000;
/** Half turns from the middle of the image to its edge: lowest and highest frequency. */
const HALF_TURNS = { slowest: 1, fastest: 5 };

export interface Rotation {
  readonly cosine_Nd: Tensor;
  /** For each pair of channels: minus the sine, and the sine. */
  readonly sine_Nd: Tensor;
}

/** Angles of each position, one for each pair of channels, rounded to float32 as in DALLE-pytorch. */
export function rotaryAngles({ prefix, grid }: StreamLayout, headWidth: number): number[][] {
  const third = Math.floor(headWidth / 3);
  const pairs = Math.floor(third / 2);
  const steps = Array.from({ length: pairs }, (_, i) => i);
  const inText = steps.map((i) => Math.fround(1 / Math.fround(SLOWEST_TEXT ** Math.fround((2 * i) / third))));
  const inImage = steps.map((i) =>
    Math.fround(between(HALF_TURNS.slowest, HALF_TURNS.fastest, i, pairs) * Math.PI),
  );
  const angles = (frequencies: readonly number[], position: number): number[] =>
    frequencies.map((frequency) => Math.fround(frequency * Math.fround(position)));
  const text = Array.from({ length: prefix }, (_, n) => [
    ...angles(inText, n),
    ...angles(inImage, TEXT_IN_IMAGE),
    ...angles(inImage, TEXT_IN_IMAGE),
  ]);
  const image = Array.from({ length: grid ** 2 }, (_, i) => [
    ...angles(inText, IMAGE_IN_TEXT),
    ...angles(inImage, between(-1, 1, Math.floor(i / grid), grid)),
    ...angles(inImage, between(-1, 1, i % grid, grid)),
  ]);
  return [...text, ...image];
}

/** The i-th of `count` numbers from `first` to `last`. */
const between = (first: number, last: number, i: number, count: number): number =>
  count === 1 ? first : first + ((last - first) * i) / (count - 1);

/** The rotation of the first `positions` positions. `headWidth` is even. */
export function rotation(layout: StreamLayout, headWidth: number, positions: number): Rotation {
  const angles = rotaryAngles(layout, headWidth).slice(0, positions);
  const table = (pair: (angle: number) => readonly [number, number], unrotated: number): Tensor =>
    tf.tensor2d(
      angles.map((row) => {
        const channels = row.flatMap(pair);
        return [...channels, ...Array.from({ length: headWidth - channels.length }, () => unrotated)];
      }),
    );
  return {
    cosine_Nd: table((angle) => [Math.cos(angle), Math.cos(angle)], 1),
    sine_Nd: table((angle) => [-Math.sin(angle), Math.sin(angle)], 0),
  };
}

/** Rotates queries, keys or values, x_BANd. */
export function rotate(x_BANd: Tensor, { cosine_Nd, sine_Nd }: Rotation): Tensor {
  const { shape } = x_BANd;
  const pairs = tf.reshape(x_BANd, [...shape.slice(0, -1), (shape.at(-1) as number) / 2, 2]);
  const swapped_BANd = tf.reshape(tf.reverse(pairs, -1), shape);
  return tf.add(tf.mul(x_BANd, cosine_Nd), tf.mul(swapped_BANd, sine_Nd));
}
