// Attention over a stream of text and image tokens that computes the blocks that count and no others. Which pairs
// count is attention-mask.ts's to say: every mask here is asked of it, and a block leaves none of its pairs out.
//   text    causal, among itself
//   row     each image row to itself and the row above      axial-row  to itself
//   column  each column to itself
//   conv    each image row to itself and the rows above that the neighbourhood reaches; corner the same
// and every image token to all of the prefix. Full attention is one block.
//   B batch, H heads, N positions, P positions of the prefix, I = N − P image tokens, G tokens on a side,
//   R = ⌈I / G⌉ rows of the image, W keys of a block, d width of a head

import type { AttentionKind } from '../config/dalle.ts';
import { type Tensor, type Tensor4D, tf } from '../engine/tfjs/tf.ts';
import { attend, type KeyedValues } from './attend.ts';
import { attends, type StreamLayout } from './attention-mask.ts';

/** Added to the scores of pairs that do not attend; its exponential is 0. */
const MASKED = -1e9;

/** Queries, scaled already, keys and values of the first N positions. */
export interface Heads {
  readonly queries_BHNd: Tensor4D;
  readonly keys_BHNd: Tensor4D;
  readonly values_BHNd: Tensor4D;
}

/** How one kind of attention is computed for the first positions of a stream. Layers share it: it holds the masks. */
export interface AttentionPattern {
  readonly kind: AttentionKind;
  readonly layout: StreamLayout;
  readonly positions: number;
  /** Added to the scores of the text or, where nothing is in blocks, of everything; broadcast to [B, H, Q, Q]. */
  readonly mask_QQ: Tensor | undefined;
  /** For the blocks of the image: [1 or R, G, W], in columns [1, R, R]. */
  readonly image_RGW: Tensor | undefined;
}

export function attentionPattern(
  kind: AttentionKind,
  layout: StreamLayout,
  positions: number,
): AttentionPattern {
  const isWhole = kind === 'full' || positions <= layout.prefix;
  const mask_QQ = maskOf([isWhole ? positions : layout.prefix], (query, key) => key <= query);
  return {
    kind,
    layout,
    positions,
    mask_QQ,
    image_RGW: isWhole ? undefined : imageMask(kind, layout, positions - layout.prefix),
  };
}

/** Every position attends to every other, but for what `mask` takes off the scores: that of an encoder. */
export const wholePattern = (positions: number, mask?: Tensor): AttentionPattern => ({
  kind: 'full',
  layout: { prefix: positions, grid: 0, kernelSize: 1 },
  positions,
  mask_QQ: mask,
  image_RGW: undefined,
});

/**
 * The heads' weighted means, [B, H, N, d]. `sharpness` is that of `attend`. Where activations are computed again, so are
 * the weights of blocks, a small part of a layer's work; full attention keeps them.
 */
export function attendStream(heads: Heads, pattern: AttentionPattern, sharpness?: number): Tensor4D {
  const { mask_QQ, image_RGW, layout, positions } = pattern;
  const { queries_BHNd: queries, keys_BHNd: keys, values_BHNd: values } = heads;
  if (!image_RGW)
    return attend(queries, { keys, values }, { mask: mask_QQ, sharpness, keeps: true }) as Tensor4D;
  const sizes = [layout.prefix, positions - layout.prefix];
  const [textQ, imageQ] = tf.split(queries, sizes, 2) as [Tensor, Tensor];
  const [textK, imageK] = tf.split(keys, sizes, 2) as [Tensor, Tensor];
  const [textV, imageV] = tf.split(values, sizes, 2) as [Tensor, Tensor];
  const shared: KeyedValues = { keys: textK, values: textV };
  const text = attend(textQ, shared, { mask: mask_QQ, sharpness });
  const options = { mask: image_RGW, shared, sharpness };
  const image = attendImage([imageQ, imageK, imageV], pattern, options);
  return tf.concat([text, image], 2) as Tensor4D;
}

function attendImage(
  heads: readonly [Tensor, Tensor, Tensor],
  { kind, layout, positions }: AttentionPattern,
  options: Parameters<typeof attend>[2],
): Tensor {
  const { prefix, grid } = layout;
  const tokens = positions - prefix;
  const rows = Math.ceil(tokens / grid);
  const [batch, count, , width] = heads[0].shape as [number, number, number, number];
  /** Filled up to whole rows: what comes after every query is masked, and its own results are cut off again. */
  const inRows = (x: Tensor): Tensor => {
    const filled = rows * grid > tokens ? tf.pad(x, padding(4, 2, 0, rows * grid - tokens)) : x;
    return tf.reshape(filled, [batch, count, rows, grid, width]);
  };
  const turned = (x: Tensor): Tensor => (kind === 'column' ? tf.transpose(x, [0, 1, 3, 2, 4]) : x);
  const [queries, keys, values] = heads.map((x) => turned(inRows(x))) as [Tensor, Tensor, Tensor];
  const above = rowsAbove(kind, layout, rows);
  const own = { keys: withRowsAbove(keys, above), values: withRowsAbove(values, above) };
  const attended = tf.reshape(turned(attend(queries, own, options)), [batch, count, rows * grid, width]);
  return rows * grid > tokens ? tf.slice(attended, [0, 0, 0, 0], [batch, count, tokens, width]) : attended;
}

/** Rows above its own, out of `rows`, that a row's queries may attend to. */
function rowsAbove(kind: AttentionKind, { kernelSize: convolution }: StreamLayout, rows: number): number {
  const reach = {
    full: 0,
    'axial-row': 0,
    column: 0,
    row: 1,
    conv: Math.floor(convolution / 2),
    'conv-like': convolution - 1,
  };
  return Math.min(reach[kind], rows - 1);
}

/** Each row of [B, H, R, G, d] with the `above` rows before it, zeros where there is none: [B, H, R, (above + 1) G, d]. */
function withRowsAbove(x: Tensor, above: number): Tensor {
  if (above === 0) return x;
  const padded = tf.pad(x, padding(5, 2, above, 0));
  const shifts = Array.from({ length: above + 1 }, (_, row) => tf.slice(padded, [0, 0, row, 0, 0], x.shape));
  return tf.concat(shifts, 3);
}

/** The mask of the image's blocks. All rows of blocks have the same where none reaches above its own. */
function imageMask(kind: AttentionKind, layout: StreamLayout, tokens: number): Tensor {
  const { grid } = layout;
  const rows = Math.ceil(tokens / grid);
  if (kind === 'column')
    return tf.expandDims(
      maskOf([rows], (query, key) => key <= query),
      0,
    );
  const above = rowsAbove(kind, layout, rows);
  const isAttended = (query: number, key: number): boolean => {
    const rule = { ...layout, prefix: 0 };
    return key >= 0 && attends(kind, query, key, rule);
  };
  return tf.stack(
    Array.from({ length: above === 0 ? 1 : rows }, (_, row) =>
      maskOf([grid, (above + 1) * grid], (query, key) =>
        isAttended(row * grid + query, (row - above) * grid + key),
      ),
    ),
  );
}

/** 0 where the query attends to the key and far below elsewhere: [Q, K], square where only Q is given. */
export function maskOf(
  [queries, keys = queries]: readonly [queries: number, keys?: number],
  isAttended: (query: number, key: number) => boolean,
): Tensor {
  const values = Float32Array.from({ length: queries * keys }, (_, i) =>
    isAttended(Math.floor(i / keys), i % keys) ? 0 : MASKED,
  );
  return tf.tensor2d(values, [queries, keys]);
}

/** Padding of one axis out of `rank`. */
const padding = (rank: number, axis: number, before: number, after: number): [number, number][] =>
  Array.from({ length: rank }, (_, i) => (i === axis ? [before, after] : [0, 0]));
