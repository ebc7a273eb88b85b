// Attention over a stream of text and image tokens that computes only the blocks of pairs that a kind can attend to.
// The rule is that of attention-kinds.ts: every mask here is made from it, and a block contains all of its pairs.
//   text       causal, among itself
//   row        each image row to itself and the row above
//   axial-row  each image row to itself
//   column     each image column to itself
//   conv, conv-like  each image row to itself and the rows above that the square reaches
// Every image token also attends to the whole prefix. Full attention goes in a few blocks of queries, each with the keys
// before its end; conv-wrapped, whose square reaches any row, is one block.
//   B batch, A heads, N positions, d width of a head, G image tokens on a side, U image rows (or columns) as blocks of
//   queries, Q queries of a block, K keys of a block

import type { AttentionKind } from '../config/dalle-model.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import { type AttendOptions, attend, type KeyedValues } from './attend.ts';
import { attends, type StreamLayout } from './attention-kinds.ts';
import { additiveMask, causalMask } from './attention-mask.ts';

/** Scaled queries, keys and values of the first N positions. */
export interface Heads {
  readonly queries_BANd: Tensor4D;
  readonly keys_BANd: Tensor4D;
  readonly values_BANd: Tensor4D;
}

/** How one kind of attention is computed for the first positions of a stream. Layers share it, and its masks. */
export interface AttentionPattern {
  readonly kind: AttentionKind;
  readonly layout: StreamLayout;
  readonly positions: number;
  /** Added to the scores of the text or, without blocks, of all positions; broadcast to [B, A, Q, Q]. */
  readonly mask_QQ: Tensor | undefined;
  /** Added to the scores of the image's blocks: [1 or U, Q, K]. */
  readonly image_UQK: Tensor | undefined;
  /** Whether each position attends to itself and all before it, and `mask_QQ` says just that. */
  readonly isCausal: boolean;
}

/** The pattern of `kind` for the first `positions` positions of a stream. */
export function attentionPattern(
  kind: AttentionKind,
  layout: StreamLayout,
  positions: number,
): AttentionPattern {
  const isWhole = kind === 'full' || kind === 'conv-wrapped' || positions <= layout.prefix;
  const mask_QQ =
    kind === 'conv-wrapped'
      ? additiveMask([positions], (query, key) => attends(kind, query, key, layout))
      : causalMask(isWhole ? positions : layout.prefix);
  return {
    kind,
    layout,
    positions,
    mask_QQ,
    image_UQK: isWhole ? undefined : imageMask(kind, layout, positions - layout.prefix),
    isCausal: isWhole && kind !== 'conv-wrapped',
  };
}

/** An encoder's pattern: every position attends to every other, except for what `mask` takes off the scores. */
export const wholePattern = (positions: number, mask?: Tensor): AttentionPattern => ({
  kind: 'full',
  layout: { prefix: positions, grid: 0, kernelSize: 1 },
  positions,
  mask_QQ: mask,
  image_UQK: undefined,
  isCausal: false,
});

/**
 * Attention of every head, [B, A, N, d]. Where activations are recomputed, the weights of blocks are too, since they
 * are a small part of a layer's work; full attention keeps its weights.
 * @param sharpness see `attend`
 */
export function attendStream(heads: Heads, pattern: AttentionPattern, sharpness?: number): Tensor4D {
  const { mask_QQ, image_UQK, layout, positions } = pattern;
  const { queries_BANd: queries, keys_BANd: keys, values_BANd: values } = heads;
  const blocks = pattern.isCausal ? causalBlocks(positions) : 1;
  if (blocks > 1) return attendCausally(heads, mask_QQ as Tensor2D, blocks, sharpness);
  if (!image_UQK)
    return attend(queries, { keys, values }, { mask: mask_QQ, sharpness, keeps: true }) as Tensor4D;
  const sizes = [layout.prefix, positions - layout.prefix];
  const [textQ, imageQ] = tf.split(queries, sizes, 2) as [Tensor, Tensor];
  const [textK, imageK] = tf.split(keys, sizes, 2) as [Tensor, Tensor];
  const [textV, imageV] = tf.split(values, sizes, 2) as [Tensor, Tensor];
  const shared: KeyedValues = { keys: textK, values: textV };
  const text = attend(textQ, shared, { mask: mask_QQ, sharpness });
  const options = { mask: image_UQK, shared, sharpness };
  const image = attendImage([imageQ, imageK, imageV], pattern, options);
  return tf.concat([text, image], 2) as Tensor4D;
}

/** Queries of a block of causal attention, about: smaller ones save little and cost ops (docs/LOG.md). */
const CAUSAL_BLOCK = 160;
const MAX_CAUSAL_BLOCKS = 4;

const causalBlocks = (positions: number): number =>
  Math.min(MAX_CAUSAL_BLOCKS, Math.round(positions / CAUSAL_BLOCK));

/** Full causal attention in blocks of queries, each with the keys up to its own end: the others are masked anyway. */
function attendCausally(
  { queries_BANd, keys_BANd, values_BANd }: Heads,
  mask_NN: Tensor2D,
  count: number,
  sharpness: number | undefined,
): Tensor4D {
  const positions = queries_BANd.shape[2];
  const ends = Array.from({ length: count }, (_, block) => Math.round((positions * (block + 1)) / count));
  const rows = (x: Tensor4D, begin: number, end: number): Tensor4D =>
    end - begin === positions ? x : tf.slice(x, [0, 0, begin, 0], [-1, -1, end - begin, -1]);
  const blocks = ends.map((end, block) => {
    const begin = ends[block - 1] ?? 0;
    const mask = tf.slice(mask_NN, [begin, 0], [end - begin, end]);
    const own = { keys: rows(keys_BANd, 0, end), values: rows(values_BANd, 0, end) };
    return attend(rows(queries_BANd, begin, end), own, { mask, sharpness, keeps: true }) as Tensor4D;
  });
  return tf.concat(blocks, 2);
}

/** Attention of the image tokens, block by block. @param heads queries, keys and values, [B, A, tokens, d] */
function attendImage(
  heads: readonly [Tensor, Tensor, Tensor],
  { kind, layout, positions }: AttentionPattern,
  options: AttendOptions,
): Tensor {
  const { prefix, grid } = layout;
  const tokens = positions - prefix;
  const rows = Math.ceil(tokens / grid);
  const [batch, headCount, , width] = heads[0].shape as [number, number, number, number];
  /** [B, A, rows, G, d]. An incomplete last row is padded: padding is masked, and its own results are cut off again. */
  const inRows = (x: Tensor): Tensor => {
    const padded = rows * grid > tokens ? tf.pad(x, padding(4, 2, 0, rows * grid - tokens)) : x;
    return tf.reshape(padded, [batch, headCount, rows, grid, width]);
  };
  const turned = (x: Tensor): Tensor => (kind === 'column' ? tf.transpose(x, [0, 1, 3, 2, 4]) : x);
  const [queries, keys, values] = heads.map((x) => turned(inRows(x))) as [Tensor, Tensor, Tensor];
  const above = rowsAbove(kind, layout, rows);
  const own = { keys: withRowsAbove(keys, above), values: withRowsAbove(values, above) };
  const shape = [batch, headCount, rows * grid, width];
  const attended = tf.reshape(turned(attend(queries, own, options)), shape);
  return rows * grid > tokens
    ? tf.slice(attended, [0, 0, 0, 0], [batch, headCount, tokens, width])
    : attended;
}

/** Number of rows above its own, out of `rows`, that the queries of a row may attend to. */
function rowsAbove(kind: AttentionKind, { kernelSize }: StreamLayout, rows: number): number {
  const reach = {
    full: 0,
    'conv-wrapped': 0,
    'axial-row': 0,
    column: 0,
    row: 1,
    conv: Math.floor(kernelSize / 2),
    'conv-like': kernelSize - 1,
  };
  return Math.min(reach[kind], rows - 1);
}

/** Each block of [B, A, U, Q, d] after the `above` blocks before it, or zeros: [B, A, U, (above + 1) · Q, d]. */
function withRowsAbove(x: Tensor, above: number): Tensor {
  if (above === 0) return x;
  const padded = tf.pad(x, padding(5, 2, above, 0));
  const shifts = Array.from({ length: above + 1 }, (_, row) => tf.slice(padded, [0, 0, row, 0, 0], x.shape));
  return tf.concat(shifts, 3);
}

/** The mask of the image's blocks, [U, Q, K]; [1, Q, K] when no row attends to rows above it. */
function imageMask(kind: AttentionKind, layout: StreamLayout, tokens: number): Tensor {
  const { grid } = layout;
  const rows = Math.ceil(tokens / grid);
  if (kind === 'column') return tf.expandDims(causalMask(rows), 0);
  const above = rowsAbove(kind, layout, rows);
  const isAttended = (query: number, key: number): boolean => {
    const rule = { ...layout, prefix: 0 };
    return key >= 0 && attends(kind, query, key, rule);
  };
  return tf.stack(
    Array.from({ length: above === 0 ? 1 : rows }, (_, row) =>
      additiveMask([grid, (above + 1) * grid], (query, key) =>
        isAttended(row * grid + query, (row - above) * grid + key),
      ),
    ),
  );
}

/** Padding of one axis out of `rank`. */
const padding = (rank: number, axis: number, before: number, after: number): [number, number][] =>
  Array.from({ length: rank }, (_, i) => (i === axis ? [before, after] : [0, 0]));
