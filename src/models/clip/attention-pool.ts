// Attention pooling: one query position attends to all positions of a tower. Of CLIP's ResNet, whose query is the mean
// of its pixels, and SigLIP's ViT, whose query is learned.
//   B batch, N positions, C channels, A heads, d width of a head

import { type Tensor, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { type LinearSpec, linear } from '../../nn/linear.ts';
import type { Parameters } from '../../nn/parameters.ts';

export type PoolProjections = Readonly<Record<'query' | 'key' | 'value' | 'output', LinearSpec>>;

/** query_B1C attends to x_BNC: the channels of `output`, [B, O]. */
export function attentionPool(
  p: Parameters<PoolProjections>,
  query_B1C: Tensor,
  x_BNC: Tensor,
  heads: number,
): Tensor2D {
  const [batch, , channels] = x_BNC.shape as [number, number, number];
  const perHead = (y: Tensor): Tensor =>
    tf.transpose(tf.reshape(y, [batch, -1, heads, channels / heads]), [0, 2, 1, 3]);
  const q_BA1d = perHead(linear(p.query, query_B1C));
  const scores_BA1N = tf.matMul(
    tf.mul(q_BA1d, (channels / heads) ** -0.5),
    perHead(linear(p.key, x_BNC)),
    false,
    true,
  );
  const attended = tf.matMul(tf.softmax(scores_BA1N), perHead(linear(p.value, x_BNC)));
  return linear(p.output, tf.reshape(attended, [batch, channels])) as Tensor2D;
}
