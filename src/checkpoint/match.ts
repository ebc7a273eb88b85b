// Compares the tensors of a checkpoint with the parameters of a configuration.

import { DataError } from '../util/errors.ts';
import type { TensorInfo } from './safetensors-header.ts';

/** Name and shape of each parameter, as from `flatten(specTree)` or `weights.expected()`. */
export type Expected = Iterable<readonly [name: string, parameter: { readonly shape: readonly number[] }]>;

const MAX_NAMED = 5;

function listSome(names: readonly string[]): string {
  const rest = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

const OWN_CONFIG = "use the model section of the checkpoint's own config.yaml";

/**
 * Checks that the tensors found are exactly the expected ones.
 * @param where the file or folder, for the error
 * @param fix the error's fix
 * @throws DataError naming tensors that are missing, unknown, or of another shape
 */
export function matchTensors(
  found: ReadonlyMap<string, Pick<TensorInfo, 'shape'>>,
  expected: Expected,
  where: string,
  fix = OWN_CONFIG,
): void {
  const shapes = new Map(expected);
  const faults: string[] = [];
  const missing = [...shapes.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) faults.push(`missing: ${listSome(missing)}`);
  const extra = [...found.keys()].filter((name) => !shapes.has(name));
  if (extra.length > 0) faults.push(`unknown: ${listSome(extra)}`);
  const misshapen = [...shapes].flatMap(([name, { shape }]) => {
    const actual = found.get(name)?.shape;
    const fits = actual === undefined || actual.join() === shape.join();
    return fits ? [] : [`${name} is [${actual}], the configuration makes it [${shape}]`];
  });
  if (misshapen.length > 0) faults.push(listSome(misshapen));
  if (faults.length > 0) {
    throw new DataError(`the checkpoint does not fit the model: ${faults.join('; ')}`, {
      code: 'E_CHECKPOINT_MISMATCH',
      where,
      fix,
    });
  }
}
