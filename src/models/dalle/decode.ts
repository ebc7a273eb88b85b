// Decoding a picture, or a caption, token by token: the keys and values of earlier positions are kept, [B, H, N, d] a
// layer, and each step computes those of one position. Where they are kept is the caller's business.
//   B batch, T text positions, P first image tokens, N input positions, D width, H heads, d width of a head,
//   V vocabulary

import type { AttentionKind, DalleModelConfig } from '../../config/dalle.ts';
import { gather } from '../../engine/ops.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tf.ts';
import type { CachedRows } from '../../nn/attention.ts';
import { attends } from '../../nn/attention-mask.ts';
import { maskOf } from '../../nn/attention-pattern.ts';
import { type Rotation, rotation } from '../../nn/rotary.ts';
import { shiftTextToken, shiftToken } from '../../nn/token-shift.ts';
import {
  attentionBranchStep,
  blockStep,
  feedForwardBranchStep,
  type LayerCache,
  type StepOptions,
} from '../../nn/transformer.ts';
import { blockParameters, stackOptions } from './blocks.ts';
import {
  headWidth,
  imageLength,
  layerAttention,
  prefixLength,
  streamLayout,
  streamLength,
} from './config.ts';
import {
  type DalleCache,
  type DalleParameters,
  finish,
  imageLogits,
  textLogits,
  transform,
} from './model.ts';

/**
 * Begins cached decoding: the logits of the image token after the prompt, and what the layers keep of the prompt's
 * positions, [B, …, T + 1 + P, …].
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
  return { logits_BV: imageLogits(p, last_BD) as Tensor2D, cache };
}

/**
 * Begins cached decoding of a caption: the logits of the text token after the first `count`, and what the layers
 * keep, [B, …, T + 1, …]. Rows after `count` are of padding, and to be written over.
 * @param count int32 scalar, text tokens that are there; `text_BT` is padded after them
 */
export function prefillText(
  p: DalleParameters,
  text_BT: Tensor2D,
  count: Scalar,
  config: DalleModelConfig,
): { readonly logits_BV: Tensor2D; readonly cache: DalleCache } {
  const { x_BND, cache } = transform(p, text_BT, undefined, config);
  const [batch, , width] = x_BND.shape;
  const last_BD = tf.reshape(tf.gather(x_BND, tf.reshape(count, [1]) as Tensor1D, 1), [batch, width]);
  return { logits_BV: textLogits(p, last_BD) as Tensor2D, cache };
}

/**
 * One more token: the logits of the image token after it, and the rows to be written at its position of the cache,
 * [B, …, 1, …].
 * @param cache [B, …, N, …]; rows from `position` on do not matter, as long as they are finite
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
  const place = tf.sub(position, tf.scalar(prefixLength(config), 'int32'));
  const layout = streamLayout(config);
  const { x_BD, rows } = decodeLayers(p, embedToken(p, token_B, place, config), cache, position, config, {
    rowsOf: (kind) => rowsThatCount(kind, place, config),
    shifted: (input_BD, earlier) => shiftToken(input_BD, earlier, position, layout),
  });
  return { logits_BV: imageLogits(p, x_BD) as Tensor2D, rows };
}

/**
 * The same for a token of the text: the logits of the text token after it.
 * @param cache [B, …, T + 1, …]
 * @param position int32 scalar, in the stream: 1 for the first token of the text
 */
export function decodeTextStep(
  p: DalleParameters,
  cache: DalleCache,
  token_B: Tensor1D,
  position: Scalar,
  config: DalleModelConfig,
): { readonly logits_BV: Tensor2D; readonly rows: DalleCache } {
  const token_BD = gather(p.text_embedding, token_B) as Tensor2D;
  const place = tf.sub(position, tf.scalar(1, 'int32'));
  const embedded_BD = p.text_position ? tf.add(token_BD, rowAt(p.text_position, place)) : token_BD;
  const mask_NN = maskOf([prefixLength(config)], (query, key) => key < query);
  const cached: CachedRows = { rows_W: undefined, mask_1W: rowAt(mask_NN, position) };
  const { x_BD, rows } = decodeLayers(p, embedded_BD as Tensor2D, cache, position, config, {
    rowsOf: () => cached,
    shifted: (input_BD, earlier) => shiftTextToken(input_BD, earlier, position),
  });
  return { logits_BV: textLogits(p, x_BD) as Tensor2D, rows };
}

/** How a token of the text, or of the picture, sees those before it. */
interface Sight {
  readonly rowsOf: (kind: AttentionKind) => CachedRows;
  readonly shifted: NonNullable<StepOptions['shifted']>;
}

/** An embedded token through every layer: the end of the stack, and the rows for the cache. */
function decodeLayers(
  p: DalleParameters,
  embedded_BD: Tensor2D,
  cache: DalleCache,
  position: Scalar,
  config: DalleModelConfig,
  { rowsOf, shifted }: Sight,
): { readonly x_BD: Tensor2D; readonly rows: DalleCache } {
  const kinds = layerAttention(config);
  const cachedRows = new Map([...new Set(kinds)].map((kind) => [kind, rowsOf(kind)]));
  const { shift, ...stack } = stackOptions(config);
  const turned = config.rotary ? rotationAt(position, config) : undefined;
  const layers = kinds.map(
    (kind): StepOptions => ({
      ...stack,
      shifted: shift && shifted,
      rotation: turned,
      cached: cachedRows.get(kind) as CachedRows,
    }),
  );
  const blocks = blockParameters(p.blocks, config);
  let x_BD = embedded_BD;
  let second_BD = embedded_BD;
  const rows = blocks.map((parameters, layer): LayerCache => {
    const [earlier, options] = [cache[layer] as LayerCache, layers[layer] as StepOptions];
    if (!config.reversible) {
      const done = blockStep(parameters, x_BD, earlier, options);
      x_BD = done.x_BD;
      return done.row;
    }
    const attended = attentionBranchStep(parameters, second_BD, earlier, options);
    x_BD = tf.add(x_BD, attended.update);
    const fed = feedForwardBranchStep(parameters, x_BD, earlier, options);
    second_BD = tf.add(second_BD, fed.update);
    return { ...attended.row, ...fed.row };
  });
  const last_BD = config.reversible ? tf.mul(tf.add(x_BD, second_BD), 0.5) : x_BD;
  return { x_BD: finish(p, last_BD, config) as Tensor2D, rows };
}

function embedToken(
  p: DalleParameters,
  token_B: Tensor1D,
  place: Tensor,
  config: DalleModelConfig,
): Tensor2D {
  const token_BD = gather(p.image_embedding, token_B) as Tensor2D;
  if (!p.image_row || !p.image_column) return token_BD;
  const grid = tf.scalar(config.grid, 'int32');
  const row_1D = rowAt(p.image_row, tf.floorDiv(place, grid));
  return tf.add(token_BD, tf.add(row_1D, rowAt(p.image_column, tf.mod(place, grid))));
}

/**
 * The cached rows that the image token at `place` attends to: the prefix and, of the picture, as many as any token
 * attends to, from tables for all places. Full attention takes the whole cache.
 */
function rowsThatCount(kind: AttentionKind, place: Tensor, config: DalleModelConfig): CachedRows {
  const layout = streamLayout(config);
  const { prefix } = layout;
  const count = imageLength(config);
  if (kind === 'full') {
    const mask_IN = maskOf([count, streamLength(config)], (query, key) => key < prefix + query);
    return { rows_W: undefined, mask_1W: rowAt(mask_IN, place) };
  }
  const earlier = Array.from({ length: count }, (_, query) =>
    Array.from({ length: query }, (_, key) => key).filter((key) =>
      attends(kind, prefix + query, prefix + key, layout),
    ),
  );
  const most = Math.max(...earlier.map(({ length }) => length));
  const text = Array.from({ length: prefix }, (_, n) => n);
  const rows = earlier.map((keys) => [
    ...text,
    ...Array.from({ length: most }, (_, i) => prefix + (keys[i] ?? 0)),
  ]);
  const mask_IW = maskOf(
    [count, prefix + most],
    (query, i) => i < prefix + (earlier[query] as number[]).length,
  );
  const rows_IW = tf.tensor2d(rows, [count, prefix + most], 'int32');
  return { rows_W: tf.reshape(rowAt(rows_IW, place), [-1]), mask_1W: rowAt(mask_IW, place) };
}

function rotationAt(position: Tensor, config: DalleModelConfig): Rotation {
  const all = rotation(streamLayout(config), headWidth(config), streamLength(config));
  return { cosine_Nd: rowAt(all.cosine_Nd, position), sine_Nd: rowAt(all.sine_Nd, position) };
}

/** Row `index`, a scalar, of a table: [1, ...]. */
const rowAt = (table: Tensor, index: Tensor): Tensor2D =>
  tf.gather(table, tf.reshape(index, [1]) as Tensor1D) as Tensor2D;
