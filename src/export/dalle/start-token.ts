// The start token, which DALLE-pytorch makes of two rows: of text token 0, which stands for padding and is read nowhere
// else, and, unless positions are rotary, of position 0.

import { widen } from '../../checkpoint/half.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { TEXT_POSITIONS } from '../../convert/dalle/names.ts';
import { rowsOf } from '../../convert/inverse.ts';
import type { ExportModel } from '../model.ts';

async function floats(source: TensorSource): Promise<Float32Array> {
  const { dtype, shape, data } = source;
  const values = typeof data === 'function' ? await data() : data;
  return widen({ dtype, shape, data: values }).data as Float32Array;
}

/** The same table with another first row. */
function withFirstRow(table: TensorSource, row: Float32Array): TensorSource {
  const data = async (): Promise<Float32Array> => {
    const values = Float32Array.from(await floats(table));
    values.set(row);
    return values;
  };
  return { dtype: 'float32', shape: table.shape, data };
}

const float32 = (row: Float32Array): TensorSource => ({
  dtype: 'float32',
  shape: [1, row.length],
  data: row,
});

export interface StartRows {
  /** The weights without the start token. */
  readonly tensors: Map<string, TensorSource>;
  /** Position 0; none where positions are rotary. */
  readonly rest: readonly (readonly [name: string, start: number, source: TensorSource])[];
}

/**
 * The start token in those two rows.
 * @param position row 0 of the positions in the file that the model came from
 * @throws DataError where there is no place for it
 */
export async function startRows(
  model: ExportModel,
  config: DalleModelConfig,
  weights: ReadonlyMap<string, TensorSource>,
  position: TensorSource | undefined,
): Promise<StartRows> {
  const tensors = new Map(weights);
  tensors.delete('start');
  if (position) return { tensors, rest: [[TEXT_POSITIONS, 0, position]] };
  const table = weights.get('text_embedding') as TensorSource;
  const start = await floats(weights.get('start') as TensorSource);
  const token = await floats(rowsOf(table, 0, 1));
  const isEqual = start.every((value, i) => Object.is(value, token[i]));
  if (config.rotary && isEqual) return { tensors, rest: [] };
  if (!config.tiedEmbeddings) {
    tensors.set('text_embedding', withFirstRow(table, start));
    return { tensors, rest: config.rotary ? [] : [[TEXT_POSITIONS, 0, float32(start.map(() => 0))]] };
  }
  // Row 0 is the weight of a class too, and stays.
  if (config.rotary)
    throw model.unsupported(
      'the start token is not text token 0: with rotary positions and tied embeddings DALLE-pytorch has no other place for it',
      'train without `rotary` or without `tiedEmbeddings`',
    );
  const difference = start.map((value, i) => value - (token[i] as number));
  const inexact = difference.filter(
    (value, i) => Math.fround(value + (token[i] as number)) !== start[i],
  ).length;
  if (inexact > 0)
    model.notes.push(
      `${inexact} of ${start.length} numbers of the start token are rounded: there it is a sum`,
    );
  return { tensors, rest: [[TEXT_POSITIONS, 0, float32(difference)]] };
}
