// Upsampling of images.
//   B batch, H height, W width, C channels

import { withGradient } from '../../engine/ops/gradient.ts';
import { type Tensor4D, tf } from '../../engine/tfjs/tf.ts';

/** Nearest-neighbour upsampling to twice the height and width: [B, H, W, C] to [B, 2H, 2W, C]. */
export function upsample2x(x_BHWC: Tensor4D): Tensor4D {
  return withGradient<Tensor4D>((_save, x) => {
    const [, height, width] = (x as Tensor4D).shape;
    return {
      value: tf.image.resizeNearestNeighbor(x as Tensor4D, [2 * height, 2 * width]),
      gradFunc: (dy) => [tf.avgPool(dy as Tensor4D, 2, 2, 'valid').mul(4)],
    };
  }, x_BHWC);
}
