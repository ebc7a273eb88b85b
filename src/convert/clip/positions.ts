// Learned positions at another length, as open_clip resizes them when it loads weights (model.py, resize_pos_embed and
// resize_text_pos_embed): those of patches by antialiased bicubic interpolation, those of texts linearly.
//   D width, G patches on a side

import type { ClipModelConfig } from '../../config/clip.ts';
import { UsageError } from '../../util/errors.ts';
import { type Taps, tapsOf } from '../../util/resample.ts';
import { type ExternalTensor, externalTensor, type StateDict, toFloat32 } from '../tensors.ts';

/** Rows of D numbers, each a weighted sum of rows of `table`. */
function combine(
  table: Float32Array,
  width: number,
  rows: readonly Taps[],
  stride = 1,
  offset = 0,
): Float32Array {
  const result = new Float32Array(rows.length * width);
  for (const [row, { first, weights }] of rows.entries())
    for (const [k, weight] of weights.entries())
      for (let d = 0; d < width; d++)
        result[row * width + d]! += weight * (table[((first + k) * stride + offset) * width + d] as number);
  return result;
}

/**
 * Positions of an image tower: the class token's, then the patches' in rows.
 * @param table [G² + 1, D]
 * @returns [to² + 1, D] where G was `from`
 */
export function resizeGrid(table: Float32Array, width: number, from: number, to: number): Float32Array {
  const taps = Array.from({ length: to }, (_, i) => tapsOf(i, from, to, 'bicubic'));
  const patches = table.subarray(width);
  // Columns of each row first, then rows of each column.
  const wide = new Float32Array(from * to * width);
  for (let row = 0; row < from; row++)
    wide.set(
      combine(patches.subarray(row * from * width, (row + 1) * from * width), width, taps),
      row * to * width,
    );
  const result = new Float32Array((to * to + 1) * width);
  result.set(table.subarray(0, width));
  for (let column = 0; column < to; column++) {
    const rows = combine(wide, width, taps, to, column);
    for (let row = 0; row < to; row++)
      result.set(rows.subarray(row * width, (row + 1) * width), (1 + row * to + column) * width);
  }
  return result;
}

/**
 * Positions of a text tower.
 * @param table [from, D]
 * @returns [to, D]
 */
export function resizeLine(table: Float32Array, width: number, from: number, to: number): Float32Array {
  const taps = Array.from({ length: to }, (_, i): Taps => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const first = Math.min(Math.floor(at), from - 1);
    const share = at - first;
    return first === from - 1 ? { first, weights: [1] } : { first, weights: [1 - share, share] };
  });
  return combine(table, width, taps);
}

/** Numbers in a table of positions; the largest published one has 2 million. */
const MAX_NUMBERS = 2 ** 28;

/** @throws UsageError where a table of so many positions has more numbers than any model's */
function assertFew(option: 'imageSize' | 'textLength', value: number, rows: number, width: number): void {
  if (rows * width <= MAX_NUMBERS) return;
  throw new UsageError(`\`${option}\` of ${value} makes ${rows} positions, more than a model can have`, {
    code: 'E_OPTION_VALUE',
    option,
    fix: 'give a smaller one, or leave it out for the size of the weights',
  });
}

/** The same tensors, with the positions of both towers at the lengths of `model`; openai's names and transformers'. */
export function resizedPositions(source: StateDict, { image, text }: ClipModelConfig): StateDict {
  const grid = image.size / image.patch;
  assertFew('imageSize', image.size, grid ** 2 + 1, image.width);
  assertFew('textLength', text.length, text.length, text.width);
  const all = new Map(source);
  const resize = (
    names: readonly string[],
    rows: number,
    make: (table: Float32Array, from: number) => Float32Array,
  ) => {
    for (const name of names) {
      const tensor = all.get(name);
      if (tensor && tensor.shape[0] !== rows && tensor.shape.length === 2)
        all.set(name, resizedTensor(tensor, rows, make));
    }
  };
  resize(
    ['visual.positional_embedding', 'vision_model.embeddings.position_embedding.weight'],
    grid ** 2 + 1,
    (table, from) => resizeGrid(table, image.width, Math.round(Math.sqrt(from - 1)), grid),
  );
  resize(
    ['positional_embedding', 'text_model.embeddings.position_embedding.weight'],
    text.length,
    (table, from) => resizeLine(table, text.width, from, text.length),
  );
  return all;
}

function resizedTensor(
  tensor: ExternalTensor,
  rows: number,
  make: (table: Float32Array, from: number) => Float32Array,
): ExternalTensor {
  const [from = 0, width = 0] = tensor.shape;
  const shape = [rows, width];
  const read = async () => ({ dtype: 'float32' as const, shape, data: make(await toFloat32(tensor), from) });
  return externalTensor('float32', shape, read);
}
