// Decoding an image or a caption token by token. Each step computes one position; the KV cache of earlier positions
// belongs to the caller.
//   B batch, T text positions, I image tokens, N cached positions, K cached positions attended to,
//   D width of the stream, d width of a head, V vocabulary

import type { AttentionKind, DalleModelConfig } from '../../config/dalle-model.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Scalar, type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { blockParameters, stackOptions } from '../../models/dalle/blocks.ts';
import {
  headWidth,
  imageLength,
  layerAttention,
  prefixLength,
  streamLayout,
  streamLength,
} from '../../models/dalle/config.ts';
import {
  type DalleCache,
  type DalleParameters,
  imageLogits,
  normalizeOutput,
  textLogits,
  transform,
} from '../../models/dalle/model.ts';
import type { AttendedRows, LayerCacheView } from '../../nn/attention.ts';
import { attends } from '../../nn/attention-kinds.ts';
import { additiveMask } from '../../nn/attention-mask.ts';
import { type Rotation, rotation } from '../../nn/rotary.ts';
import { shiftTextToken, shiftToken } from '../../nn/token-shift.ts';
import {
  attentionBranchStep,
  blockStep,
  feedForwardBranchStep,
  type LayerCache,
  type StepOptions,
} from '../../nn/transformer.ts';
import { padToMultipleOf16 } from '../padding.ts';

/**
 * Processes the beginning of a caption in one pass: the logits of the next text token, and the KV cache,
 * [B, …, T + 1, …]. Positions after `count` are padding; decoding overwrites them.
 * @param count int32 scalar, number of given text tokens; `text_BT` is padded after them
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

/** The KV cache of each layer, as a new position sees it. */
export type DalleCacheView = readonly LayerCacheView<keyof LayerCache>[];

/**
 * Decodes one image token: the logits of the next one.
 * @param cache holds the image tokens. The text is its prefix or, in layers of full attention, may come before them in
 *   the cache. Cached positions of later tokens are ignored, but must be finite
 * @param token_B int32, the image token at `place`
 * @param place int32 scalar, position in the image
 */
export function decodeStep(
  p: DalleParameters,
  cache: DalleCacheView,
  token_B: Tensor1D,
  place: Scalar,
  config: DalleModelConfig,
): Tensor2D {
  const x_BD = decodeLayers(p, embedToken(p, token_B, place, config), cache, config, {
    position: tf.add(place, tf.scalar(prefixLength(config), 'int32')),
    rowsOf: (kind, withPrefix) => attendedRows(kind, place, config, withPrefix),
    shifted: (input_BD, kept) => shiftToken(input_BD, kept, place, config.grid),
  });
  return imageLogits(p, x_BD) as Tensor2D;
}

/**
 * Decodes one text token: the logits of the next one.
 * @param cache holds the start token and the text tokens
 * @param position int32 scalar, position in the stream: 1 for the first text token
 */
export function decodeTextStep(
  p: DalleParameters,
  cache: DalleCacheView,
  token_B: Tensor1D,
  position: Scalar,
  config: DalleModelConfig,
): Tensor2D {
  const token_BD = gather(p.text_embedding, token_B) as Tensor2D;
  const inText = tf.sub(position, tf.scalar(1, 'int32'));
  const embedded_BD = p.text_position ? tf.add(token_BD, rowAt(p.text_position, inText)) : token_BD;
  const mask_NN = additiveMask([cachedTextTokens(config)], (query, key) => key <= query);
  const rows: AttendedRows = { rows_K: undefined, mask_1K: rowAt(mask_NN, position) };
  const x_BD = decodeLayers(p, embedded_BD as Tensor2D, cache, config, {
    position,
    rowsOf: () => rows,
    shifted: (input_BD, kept) => shiftTextToken(input_BD, kept, position),
  });
  return textLogits(p, x_BD) as Tensor2D;
}

/** What a text or image token attends to. */
interface VisibleRows {
  /** Position in the stream, int32 scalar. */
  readonly position: Tensor;
  /** For layers of this kind; `withPrefix` when their cache contains the prefix. */
  readonly rowsOf: (kind: AttentionKind, withPrefix: boolean) => AttendedRows;
  readonly shifted: NonNullable<StepOptions['shifted']>;
}

/** Runs an embedded token through every layer and the final normalization: [B, D]. */
function decodeLayers(
  p: DalleParameters,
  embedded_BD: Tensor2D,
  cache: DalleCacheView,
  config: DalleModelConfig,
  { position, rowsOf, shifted }: VisibleRows,
): Tensor2D {
  const kinds = layerAttention(config);
  const rows = new Map(
    [...new Set(kinds)].map((kind) => [kind, rowsOf(kind, !cache[kinds.indexOf(kind)]?.prefix)]),
  );
  const { shift, ...stack } = stackOptions(config);
  const positionRotation = config.rotary ? rotationAt(position, config) : undefined;
  let x_BD = embedded_BD;
  let second_BD = embedded_BD;
  for (const [layer, parameters] of blockParameters(p.blocks, config).entries()) {
    const options: StepOptions = {
      ...stack,
      shifted: shift && shifted,
      rotation: positionRotation,
      rows: rows.get(kinds[layer] as AttentionKind) as AttendedRows,
    };
    const layerCache = cache[layer] as LayerCacheView<keyof LayerCache>;
    if (config.reversible) {
      x_BD = tf.add(x_BD, attentionBranchStep(parameters, second_BD, layerCache, options));
      second_BD = tf.add(second_BD, feedForwardBranchStep(parameters, x_BD, layerCache, options));
    } else x_BD = blockStep(parameters, x_BD, layerCache, options);
  }
  const last_BD = config.reversible ? tf.mul(tf.add(x_BD, second_BD), 0.5) : x_BD;
  return normalizeOutput(p, last_BD, config) as Tensor2D;
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

/** Positions in the cache after the prefix of attention. With it they are a multiple of 16: see `attentionStep`. */
export const cachedImageTokens = (config: DalleModelConfig): number =>
  padToMultipleOf16(streamLength(config)) - streamLayout(config).prefix;

/** Text positions after the prefix of attention: the last one with attentionGrid `target`. */
const textPlaces = (config: DalleModelConfig): number => prefixLength(config) - streamLayout(config).prefix;

/** Place in the cache, after the prefix, of the image token at `place` in the image. @param place int32 scalar */
export function placeInCache(place: Scalar, config: DalleModelConfig): Scalar {
  const before = textPlaces(config);
  return before === 0 ? place : tf.add(place, tf.scalar(before, 'int32'));
}

/** Text positions in the cache of a caption. */
export const cachedTextTokens = (config: DalleModelConfig): number => padToMultipleOf16(prefixLength(config));

/**
 * The cached positions that the image token at `place` attends to, looked up in tables of all places. Their number is the
 * largest of any token, so that shapes are constant. Full attention reads the whole cache.
 */
function attendedRows(
  kind: AttentionKind,
  place: Tensor,
  config: DalleModelConfig,
  withPrefix: boolean,
): AttendedRows {
  const layout = streamLayout(config);
  const { prefix } = layout;
  const count = imageLength(config);
  const first = textPlaces(config);
  if (kind === 'full') {
    const before = withPrefix ? prefix : 0;
    const mask_IN = additiveMask(
      [count, before + cachedImageTokens(config)],
      (query, key) => key <= before + first + query,
    );
    return { rows_K: undefined, mask_1K: rowAt(mask_IN, place) };
  }
  const attended = Array.from({ length: count }, (_, query) =>
    Array.from({ length: first + query + 1 }, (_, key) => key).filter((key) =>
      attends(kind, prefix + first + query, prefix + key, layout),
    ),
  );
  const width = padToMultipleOf16(prefix + Math.max(...attended.map(({ length }) => length))) - prefix;
  const rows = attended.map((keys) => Array.from({ length: width }, (_, i) => keys[i] ?? 0));
  const mask_IK = additiveMask([count, width], (query, i) => i < (attended[query] as number[]).length);
  const rows_IK = tf.tensor2d(rows, [count, width], 'int32');
  return { rows_K: tf.reshape(rowAt(rows_IK, place), [-1]), mask_1K: rowAt(mask_IK, place) };
}

/** The rotation of one position, [1, d]. */
function rotationAt(position: Tensor, config: DalleModelConfig): Rotation {
  const all = rotation(streamLayout(config), headWidth(config), streamLength(config));
  return { cosine_Nd: rowAt(all.cosine_Nd, position), sine_Nd: rowAt(all.sine_Nd, position) };
}

/** Row `index` of a table, [1, …]. @param index int32 scalar */
const rowAt = (table: Tensor, index: Tensor): Tensor2D =>
  tf.gather(table, tf.reshape(index, [1]) as Tensor1D) as Tensor2D;
