// Decoding a picture token by token: the keys and values of earlier positions are kept, [B, H, N, d] a layer, and each
// step computes those of one position. Where they are kept is the caller's business.
//   B batch, T text positions, P first image tokens, N input positions, D width, H heads, d width of a head,
//   V vocabulary

import type { DalleModelConfig } from '../../config/dalle.ts';
import { gather } from '../../engine/ops.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tf.ts';
import type { KeyValues } from '../../nn/attention.ts';
import { layerNorm } from '../../nn/layer-norm.ts';
import { linear } from '../../nn/linear.ts';
import { blockStep } from '../../nn/transformer.ts';
import { prefixLength, streamLength } from './config.ts';
import { type DalleCache, type DalleParameters, layerMasks, transform } from './model.ts';

/**
 * Begins cached decoding: the logits of the image token after the prompt, and the keys and values of the prompt's
 * positions, [B, H, T + 1 + P, d].
 * @param image_BP int32, the first tokens of the picture where it is primed
 */
export function prefill(
  p: DalleParameters,
  text_BT: Tensor2D,
  config: DalleModelConfig,
  image_BP?: Tensor2D,
): { readonly logits_BV: Tensor2D; readonly cache: DalleCache } {
  const { x_BND, cache } = transform(p, text_BT, image_BP, config);
  const [batch, positions, width] = x_BND.shape;
  const last_BD = tf.reshape(tf.slice(x_BND, [0, positions - 1, 0]), [batch, width]);
  return { logits_BV: linear(p.image_head, last_BD) as Tensor2D, cache };
}

/**
 * One more token: the logits of the image token after it, and the row of keys and values to be written at its
 * position of the cache, [B, H, 1, d].
 * @param cache [B, H, N, d]; rows from `position` on do not matter, as long as they are finite
 * @param token_B int32, the image token at `position`
 * @param position int32 scalar, in the stream: T + 1 for the picture's first token
 */
export function decodeStep(
  p: DalleParameters,
  cache: DalleCache,
  token_B: Tensor1D,
  position: Scalar,
  config: DalleModelConfig,
): { readonly logits_BV: Tensor2D; readonly rows: DalleCache } {
  const length = streamLength(config);
  const pastMasks = layerMasks(config, length, withoutDiagonal).map((mask_NN) => rowAt(mask_NN, position));
  const place = tf.sub(position, tf.scalar(prefixLength(config), 'int32'));
  const grid = tf.scalar(config.grid, 'int32');
  const position_1D = tf.add(
    rowAt(p.image_row, tf.floorDiv(place, grid)),
    rowAt(p.image_column, tf.mod(place, grid)),
  );
  let x_BD = tf.add(gather(p.image_embedding, token_B), position_1D) as Tensor2D;
  const rows = Object.values(p.blocks).map((parameters, layer) => {
    const mask_1N = pastMasks[layer] as Tensor2D;
    const { x_BD: next, ...row } = blockStep(
      parameters,
      x_BD,
      config.heads,
      cache[layer] as KeyValues,
      mask_1N,
    );
    x_BD = next;
    return row;
  });
  return { logits_BV: linear(p.image_head, layerNorm(p.norm, x_BD)) as Tensor2D, rows };
}

/** The mask without each position's attention to itself, which the cache does not hold yet. */
const withoutDiagonal = (mask: Uint8Array): Uint8Array => {
  const length = Math.sqrt(mask.length);
  return mask.map((attends, i) => (i % (length + 1) === 0 ? 0 : attends));
};

/** Row `index`, a scalar, of a table: [1, ...]. */
const rowAt = (table: Tensor, index: Tensor): Tensor2D => gather(table, tf.reshape(index, [1])) as Tensor2D;
