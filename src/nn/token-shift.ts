// Token shift, as DALLE-pytorch has it: a layer sees part of its neighbours' channels in place of its own. Text takes
// its first half from the token before; an image's token takes the first quarter from the one above and the second
// from the one to the left. Outside there are zeros.
//   B batch, N positions, D width, a multiple of 4, S = D / 2 channels that can come from elsewhere

import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../engine/tfjs/tf.ts';
import type { StreamLayout } from './attention-mask.ts';

/** x_BND of the first N positions → BND. */
export function shiftTokens(x_BND: Tensor3D, { prefix, grid }: StreamLayout): Tensor3D {
  const [batch, positions, width] = x_BND.shape;
  const quarter = width / 4;
  const tokens = positions - prefix;
  if (tokens < 0)
    throw new RangeError(`token shift needs the whole prefix, got ${positions} of ${prefix} positions`);
  const [text, image] = tf.split(x_BND, [prefix, tokens], 1) as [Tensor3D, Tensor3D];
  const [textMoves, textStays] = tf.split(text, 2, 2) as [Tensor3D, Tensor3D];
  const shiftedText = tf.concat([earlier(textMoves, 1), textStays], 2);
  if (tokens === 0) return shiftedText;
  const [top, left, stays] = tf.split(image, [quarter, quarter, 2 * quarter], 2) as [
    Tensor3D,
    Tensor3D,
    Tensor3D,
  ];
  const isInRow = Float32Array.from({ length: tokens }, (_, i) => (i % grid === 0 ? 0 : 1));
  const fromLeft = tf.mul(earlier(left, 1), tf.tensor2d(isInRow, [tokens, 1]));
  return tf.concat([shiftedText, tf.concat([earlier(top, grid), fromLeft, stays], 2)], 1) as Tensor3D;

  /** What was `back` positions earlier. */
  function earlier(x: Tensor3D, back: number): Tensor3D {
    const count = x.shape[1];
    const kept = Math.max(0, count - back);
    const zeros = [batch, count - kept, x.shape[2]] as [number, number, number];
    return tf.concat([tf.zeros(zeros), tf.slice(x, [0, 0, 0], [batch, kept, x.shape[2]])], 1) as Tensor3D;
  }
}

/** The channels of x that later positions may see: [..., S]. */
export function shiftedChannels(x: Tensor): Tensor {
  const size = [...x.shape.slice(0, -1), (x.shape.at(-1) as number) / 2];
  return tf.slice(
    x,
    size.map(() => 0),
    size,
  );
}

/**
 * One image token of the same.
 * @param kept_B1NS what `shiftedChannels` gave for the image's tokens so far
 * @param place int32 scalar, its place in the image
 */
export function shiftToken(x_BD: Tensor2D, kept_B1NS: Tensor, place: Tensor, grid: number): Tensor2D {
  const [batch, width] = x_BD.shape;
  const quarter = width / 4;
  const int = (value: number): Tensor => tf.scalar(value, 'int32');
  const from = (back: number, first: number, isThere: Tensor): Tensor => {
    const index = tf.reshape(tf.maximum(tf.sub(place, int(back)), int(0)), [1]);
    const row_BS = tf.reshape(tf.gather(kept_B1NS, index as never, 2), [batch, 2 * quarter]);
    return tf.mul(tf.slice(row_BS, [0, first], [batch, quarter]), tf.cast(isThere, 'float32'));
  };
  const top = from(grid, 0, tf.greaterEqual(place, int(grid)));
  const left = from(1, quarter, tf.greater(tf.mod(place, int(grid)), int(0)));
  return tf.concat(
    [top, left, tf.slice(x_BD, [0, 2 * quarter], [batch, width - 2 * quarter])],
    1,
  ) as Tensor2D;
}

/** One text token of the same: all of the channels that move are those of the token before. `place` is at least 1. */
export function shiftTextToken(x_BD: Tensor2D, kept_B1NS: Tensor, place: Tensor): Tensor2D {
  const [batch, width] = x_BD.shape;
  const before = tf.reshape(tf.sub(place, tf.scalar(1, 'int32')), [1]);
  const moved_BS = tf.reshape(tf.gather(kept_B1NS, before as never, 2), [batch, width / 2]);
  return tf.concat([moved_BS, tf.slice(x_BD, [0, width / 2], [batch, width / 2])], 1) as Tensor2D;
}
