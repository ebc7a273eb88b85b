// Token shift, as in DALLE-pytorch: part of a layer's input channels come from earlier tokens. A text token takes the
// first half of its channels from the token before it. An image token takes the first quarter from the token above it
// and the second quarter from the token to its left. Outside the text and the image there are zeros.
//   B batch, N positions, D width of the stream, a multiple of 4, S = D / 2 channels that later tokens may take

import { type Tensor, type Tensor2D, type Tensor3D, tf } from '../engine/tfjs/tf.ts';
import type { StreamLayout } from './attention-kinds.ts';

/**
 * Shifts the channels of the first N positions, x_BND → BND.
 * @throws RangeError when N is less than the prefix
 */
export function shiftTokens(x_BND: Tensor3D, { prefix, grid }: StreamLayout): Tensor3D {
  const [batch, positions, width] = x_BND.shape;
  const quarter = width / 4;
  const tokens = positions - prefix;
  if (tokens < 0)
    throw new RangeError(`token shift needs the whole prefix, got ${positions} of ${prefix} positions`);
  const [text, image] = tf.split(x_BND, [prefix, tokens], 1) as [Tensor3D, Tensor3D];
  const [textShifts, textStays] = tf.split(text, 2, 2) as [Tensor3D, Tensor3D];
  const shiftedText = tf.concat([earlier(textShifts, 1), textStays], 2);
  if (tokens === 0) return shiftedText;
  const [top, left, stays] = tf.split(image, [quarter, quarter, 2 * quarter], 2) as [
    Tensor3D,
    Tensor3D,
    Tensor3D,
  ];
  const isInRow = Float32Array.from({ length: tokens }, (_, i) => (i % grid === 0 ? 0 : 1));
  const fromLeft = tf.mul(earlier(left, 1), tf.tensor2d(isInRow, [tokens, 1]));
  return tf.concat([shiftedText, tf.concat([earlier(top, grid), fromLeft, stays], 2)], 1) as Tensor3D;

  /** The channels `back` positions earlier. */
  function earlier(x: Tensor3D, back: number): Tensor3D {
    const count = x.shape[1];
    const kept = Math.max(0, count - back);
    const zeros = [batch, count - kept, x.shape[2]] as [number, number, number];
    return tf.concat([tf.zeros(zeros), tf.slice(x, [0, 0, 0], [batch, kept, x.shape[2]])], 1) as Tensor3D;
  }
}

/** The channels of x that later positions may take: [..., D] → [..., S]. */
export function shiftedChannels(x: Tensor): Tensor {
  const size = [...x.shape.slice(0, -1), (x.shape.at(-1) as number) / 2];
  return tf.slice(
    x,
    size.map(() => 0),
    size,
  );
}

/**
 * `shiftTokens` of one new image token.
 * @param cache_B1NS `shiftedChannels` of the image tokens so far
 * @param index int32 scalar, index of the token in the image
 */
export function shiftToken(x_BD: Tensor2D, cache_B1NS: Tensor, index: Tensor, grid: number): Tensor2D {
  const [batch, width] = x_BD.shape;
  const quarter = width / 4;
  const int = (value: number): Tensor => tf.scalar(value, 'int32');
  const from = (back: number, first: number, isThere: Tensor): Tensor => {
    const source = tf.reshape(tf.maximum(tf.sub(index, int(back)), int(0)), [1]);
    const row_BS = tf.reshape(tf.gather(cache_B1NS, source as never, 2), [batch, 2 * quarter]);
    return tf.mul(tf.slice(row_BS, [0, first], [batch, quarter]), tf.cast(isThere, 'float32'));
  };
  const top = from(grid, 0, tf.greaterEqual(index, int(grid)));
  const left = from(1, quarter, tf.greater(tf.mod(index, int(grid)), int(0)));
  return tf.concat(
    [top, left, tf.slice(x_BD, [0, 2 * quarter], [batch, width - 2 * quarter])],
    1,
  ) as Tensor2D;
}

/**
 * `shiftTokens` of one new text token.
 * @param cache_B1NS `shiftedChannels` of the start token and the text so far
 * @param position int32 scalar, position of the token in the stream, at least 1
 */
export function shiftTextToken(x_BD: Tensor2D, cache_B1NS: Tensor, position: Tensor): Tensor2D {
  const [batch, width] = x_BD.shape;
  const before = tf.reshape(tf.sub(position, tf.scalar(1, 'int32')), [1]);
  const shifted_BS = tf.reshape(tf.gather(cache_B1NS, before as never, 2), [batch, width / 2]);
  return tf.concat([shifted_BS, tf.slice(x_BD, [0, width / 2], [batch, width / 2])], 1) as Tensor2D;
}
