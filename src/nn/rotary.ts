// Rotary positions (arXiv 2104.09864) of text and image at once, as DALLE-pytorch has them: a third of a head's
// channels turns with the place in the text, a third with the row and a third with the column of the image. Queries,
// keys and values all turn.
//   B batch, H heads, N positions, d width of a head, R = ⌊d / 3⌋ channels of each third

import { type Tensor, tf } from '../engine/tfjs/tf.ts';
import type { StreamLayout } from './attention-mask.ts';

/** Where image tokens stand in the text's third, far from all text; and text in the image's, whose sides are −1 … 1. */
const IMAGE_IN_TEXT = 8192;
const TEXT_IN_IMAGE = -10;
const SLOWEST_TEXT = 10000;
/** Half turns from the image's middle to its edge, slowest and fastest. */
const HALF_TURNS = { slowest: 1, fastest: 5 };

export interface Rotation {
  readonly cosine_Nd: Tensor;
  /** Of each channel pair, minus the sine and the sine. */
  readonly sine_Nd: Tensor;
}

/** Angles by position, each for a pair of channels; in float32's numbers, since they reach 8192. */
export function rotaryAngles({ prefix, grid }: StreamLayout, headWidth: number): number[][] {
  const third = Math.floor(headWidth / 3);
  const pairs = Math.floor(third / 2);
  const steps = Array.from({ length: pairs }, (_, i) => i);
  const inText = steps.map((i) => Math.fround(1 / Math.fround(SLOWEST_TEXT ** Math.fround((2 * i) / third))));
  const inImage = steps.map((i) =>
    Math.fround(between(HALF_TURNS.slowest, HALF_TURNS.fastest, i, pairs) * Math.PI),
  );
  const turn = (frequencies: readonly number[], place: number): number[] =>
    frequencies.map((frequency) => Math.fround(frequency * Math.fround(place)));
  const text = Array.from({ length: prefix }, (_, n) => [
    ...turn(inText, n),
    ...turn(inImage, TEXT_IN_IMAGE),
    ...turn(inImage, TEXT_IN_IMAGE),
  ]);
  const image = Array.from({ length: grid ** 2 }, (_, i) => [
    ...turn(inText, IMAGE_IN_TEXT),
    ...turn(inImage, between(-1, 1, Math.floor(i / grid), grid)),
    ...turn(inImage, between(-1, 1, i % grid, grid)),
  ]);
  return [...text, ...image];
}

/** The i-th of `count` numbers from `first` to `last`. */
const between = (first: number, last: number, i: number, count: number): number =>
  count === 1 ? first : first + ((last - first) * i) / (count - 1);

/** The rotation of the first `positions` positions. `headWidth` is even. */
export function rotation(layout: StreamLayout, headWidth: number, positions: number): Rotation {
  const angles = rotaryAngles(layout, headWidth).slice(0, positions);
  const table = (ofPair: (angle: number) => readonly [number, number], still: number): Tensor =>
    tf.tensor2d(
      angles.map((row) => {
        const channels = row.flatMap(ofPair);
        return [...channels, ...Array.from({ length: headWidth - channels.length }, () => still)];
      }),
    );
  return {
    cosine_Nd: table((angle) => [Math.cos(angle), Math.cos(angle)], 1),
    sine_Nd: table((angle) => [-Math.sin(angle), Math.sin(angle)], 0),
  };
}

/** x_BHNd, turned. */
export function rotate(x: Tensor, { cosine_Nd, sine_Nd }: Rotation): Tensor {
  const pairs = tf.reshape(x, [...x.shape.slice(0, -1), (x.shape.at(-1) as number) / 2, 2]);
  const swapped = tf.reshape(tf.reverse(pairs, -1), x.shape);
  return tf.add(tf.mul(x, cosine_Nd), tf.mul(swapped, sine_Nd));
}
