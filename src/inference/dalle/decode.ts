// Decoding an image, or a caption, token by token: what the layers need of earlier positions is kept, and each step
// computes one position. Where it is kept is the caller's business.
//   B batch, T text positions, P first image tokens, N positions kept, D width, d width of a head, W rows that count,
//   V vocabulary

import type { AttentionKind, DalleModelConfig } from '../../config/dalle.ts';
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
  finish,
  imageLogits,
  textLogits,
  transform,
} from '../../models/dalle/model.ts';
import type { AttendedRows } from '../../nn/attention.ts';
import { attends } from '../../nn/attention-mask.ts';
import { maskOf } from '../../nn/attention-pattern.ts';
import { type Rotation, rotation } from '../../nn/rotary.ts';
import { padToMultipleOf16 } from '../../nn/rows.ts';
import { shiftTextToken, shiftToken } from '../../nn/token-shift.ts';
import {
  attentionBranchStep,
  type BlockMemory,
  blockStep,
  feedForwardBranchStep,
  type StepOptions,
} from '../../nn/transformer.ts';

/**
 * Begins cached decoding: the logits of the image token after the prompt, and what the layers keep of the prompt's
 * positions, [B, …, T + 1 + P, …].
 * @param image_BP int32, the first tokens of the image where it is primed
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

/** What each layer keeps while tokens are decoded. */
export type DalleMemory = readonly BlockMemory[];

/**
 * One more token: the logits of the image token after it.
 * @param memory keeps the image's tokens; the text is its prefix, or, for layers of full attention, may come before
 *   them in what is kept. What is kept of tokens to come does not matter, as long as it is finite
 * @param token_B int32, the image token at `place`
 * @param place int32 scalar, in the image
 */
export function decodeStep(
  p: DalleParameters,
  memory: DalleMemory,
  token_B: Tensor1D,
  place: Scalar,
  config: DalleModelConfig,
): Tensor2D {
  const x_BD = decodeLayers(p, embedToken(p, token_B, place, config), memory, config, {
    position: tf.add(place, tf.scalar(prefixLength(config), 'int32')),
    rowsOf: (kind, withPrefix) => rowsThatCount(kind, place, config, withPrefix),
    shifted: (input_BD, kept) => shiftToken(input_BD, kept, place, config.grid),
  });
  return imageLogits(p, x_BD) as Tensor2D;
}

/**
 * The same for a token of the text: the logits of the text token after it.
 * @param memory keeps the start token and the text's
 * @param position int32 scalar, in the stream: 1 for the first token of the text
 */
export function decodeTextStep(
  p: DalleParameters,
  memory: DalleMemory,
  token_B: Tensor1D,
  position: Scalar,
  config: DalleModelConfig,
): Tensor2D {
  const token_BD = gather(p.text_embedding, token_B) as Tensor2D;
  const inText = tf.sub(position, tf.scalar(1, 'int32'));
  const embedded_BD = p.text_position ? tf.add(token_BD, rowAt(p.text_position, inText)) : token_BD;
  const mask_NN = maskOf([keptText(config)], (query, key) => key <= query);
  const rows: AttendedRows = { rows_W: undefined, mask_1W: rowAt(mask_NN, position) };
  const x_BD = decodeLayers(p, embedded_BD as Tensor2D, memory, config, {
    position,
    rowsOf: () => rows,
    shifted: (input_BD, kept) => shiftTextToken(input_BD, kept, position),
  });
  return textLogits(p, x_BD) as Tensor2D;
}

/** How a token of the text, or of the image, sees those before it. */
interface VisibleRows {
  /** In the stream, int32 scalar. */
  readonly position: Tensor;
  /** Of layers of this kind; `withPrefix` where the prefix is among what they keep. */
  readonly rowsOf: (kind: AttentionKind, withPrefix: boolean) => AttendedRows;
  readonly shifted: NonNullable<StepOptions['shifted']>;
}

/** An embedded token through every layer, to the end of the stack. */
function decodeLayers(
  p: DalleParameters,
  embedded_BD: Tensor2D,
  memory: DalleMemory,
  config: DalleModelConfig,
  { position, rowsOf, shifted }: VisibleRows,
): Tensor2D {
  const kinds = layerAttention(config);
  const rows = new Map(
    [...new Set(kinds)].map((kind) => [kind, rowsOf(kind, !memory[kinds.indexOf(kind)]?.prefix)]),
  );
  const { shift, ...stack } = stackOptions(config);
  const turned = config.rotary ? rotationAt(position, config) : undefined;
  let x_BD = embedded_BD;
  let second_BD = embedded_BD;
  for (const [layer, parameters] of blockParameters(p.blocks, config).entries()) {
    const options: StepOptions = {
      ...stack,
      shifted: shift && shifted,
      rotation: turned,
      rows: rows.get(kinds[layer] as AttentionKind) as AttendedRows,
    };
    const kept = memory[layer] as BlockMemory;
    if (config.reversible) {
      x_BD = tf.add(x_BD, attentionBranchStep(parameters, second_BD, kept, options));
      second_BD = tf.add(second_BD, feedForwardBranchStep(parameters, x_BD, kept, options));
    } else x_BD = blockStep(parameters, x_BD, kept, options);
  }
  const last_BD = config.reversible ? tf.mul(tf.add(x_BD, second_BD), 0.5) : x_BD;
  return finish(p, last_BD, config) as Tensor2D;
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

/** Image tokens that are kept: with the prefix a multiple of 16, see `attentionStep`. */
export const keptTokens = (config: DalleModelConfig): number =>
  padToMultipleOf16(prefixLength(config) + imageLength(config) - 1) - prefixLength(config);

/** Positions of text that are kept to complete captions. */
export const keptText = (config: DalleModelConfig): number => padToMultipleOf16(prefixLength(config));

/**
 * The kept rows that the image token at `place` attends to: as many as any token does, from tables for all places.
 * Full attention takes all that is kept.
 */
function rowsThatCount(
  kind: AttentionKind,
  place: Tensor,
  config: DalleModelConfig,
  withPrefix: boolean,
): AttendedRows {
  const layout = streamLayout(config);
  const { prefix } = layout;
  const count = imageLength(config);
  if (kind === 'full') {
    const before = withPrefix ? prefix : 0;
    const mask_IN = maskOf([count, before + keptTokens(config)], (query, key) => key <= before + query);
    return { rows_W: undefined, mask_1W: rowAt(mask_IN, place) };
  }
  const attended = Array.from({ length: count }, (_, query) =>
    Array.from({ length: query + 1 }, (_, key) => key).filter((key) =>
      attends(kind, prefix + query, prefix + key, layout),
    ),
  );
  const most = padToMultipleOf16(prefix + Math.max(...attended.map(({ length }) => length))) - prefix;
  const rows = attended.map((keys) => Array.from({ length: most }, (_, i) => keys[i] ?? 0));
  const mask_IW = maskOf([count, most], (query, i) => i < (attended[query] as number[]).length);
  const rows_IW = tf.tensor2d(rows, [count, most], 'int32');
  return { rows_W: tf.reshape(rowAt(rows_IW, place), [-1]), mask_1W: rowAt(mask_IW, place) };
}

function rotationAt(position: Tensor, config: DalleModelConfig): Rotation {
  const all = rotation(streamLayout(config), headWidth(config), streamLength(config));
  return { cosine_Nd: rowAt(all.cosine_Nd, position), sine_Nd: rowAt(all.sine_Nd, position) };
}

/** Row `index`, a scalar, of a table: [1, ...]. */
const rowAt = (table: Tensor, index: Tensor): Tensor2D =>
  tf.gather(table, tf.reshape(index, [1]) as Tensor1D) as Tensor2D;
