// Comparing with what another program gave for the same weights.

import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { useTensorFlow } from '../../src/engine/tfjs/backend.ts';
import { type Tensor, tf } from '../../src/engine/tfjs/tf.ts';
import type { Parameters, SpecTree } from '../../src/nn/parameters.ts';
import { flatten, unflatten } from '../../src/nn/parameters.ts';

useTensorFlow();

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../parity/fixtures/${name}`, import.meta.url));

/** Unpacks the .gz files of a fixture's folder into a temporary one, which the caller removes. */
export function unpack(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'mm-parity-'));
  for (const file of readdirSync(fixture(name))) {
    if (!file.endsWith('.gz')) continue;
    writeFileSync(join(folder, file.slice(0, -3)), gunzipSync(readFileSync(join(fixture(name), file))));
  }
  return folder;
}

/** The tensors of a fixture's safetensors file. */
export async function expected(path: string): Promise<Map<string, TensorData>> {
  const file = await SafetensorsFile.open(fixture(path));
  return file.readAll().finally(() => file.close());
}

/** A tensor of a file, for models run eagerly. */
export const tensorOf = ({ dtype, shape, data }: TensorData): Tensor =>
  tf.tensor(Float32Array.from(data as Float32Array), [...shape], dtype === 'int32' ? 'int32' : 'float32');

/** Parameters for eager models, from a checkpoint's tensors. */
export const parametersOf = <S extends SpecTree>(
  spec: S,
  tensors: ReadonlyMap<string, TensorData>,
): Parameters<S> => {
  const known = new Map(flatten(spec));
  return unflatten(spec, (name) => {
    const tensor = tensors.get(name);
    if (!tensor || !known.has(name)) throw new Error(`no tensor ${name}`);
    return tensorOf(tensor);
  });
};

/** The largest difference of two arrays over the root mean square of the second. */
export function relativeDifference(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (actual.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  let squares = 0;
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs(actual[i]! - wanted[i]!);
    // NaN must not pass.
    if (!(difference <= largest)) largest = difference;
    squares += wanted[i]! ** 2;
  }
  return largest / Math.sqrt(squares / wanted.length);
}
