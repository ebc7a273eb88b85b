// The tensors of a model by dotted name, from the object of a torch file: a state dictionary, a whole module or a
// TorchScript archive.

import { DataError } from '../../util/errors.ts';
import { nameOfKind, PickleObject, type PickleValue } from '../pickle/values.ts';
import { TorchTensor } from './tensor.ts';

export type StateDict = ReadonlyMap<string, TorchTensor>;

/** Limits for files that nest or share modules without end. */
const MAX_DEPTH = 64;
const MAX_VISITS = 1_000_000;

const malformed = (what: string, where: string): DataError =>
  new DataError(`not the weights of a model: ${what}`, {
    code: 'E_WEIGHTS_UNKNOWN',
    where,
    fix: 'give a file with a state dictionary or a whole module',
  });

/**
 * The tensors in `value`, named as in torch's `state_dict()`.
 * @throws DataError E_WEIGHTS_UNKNOWN when it is not a model
 */
export function stateDict(value: PickleValue, where: string): StateDict {
  const tensors = new Map<string, TorchTensor>();
  if (value instanceof Map) {
    for (const [name, tensor] of value) {
      if (typeof name !== 'string' || !(tensor instanceof TorchTensor)) {
        throw malformed(`its entry ${String(name)} is ${nameOfKind(tensor)}, not a tensor`, where);
      }
      tensors.set(name, tensor);
    }
    return tensors;
  }
  if (!(value instanceof PickleObject)) throw malformed(`the object is ${nameOfKind(value)}`, where);
  let visits = 0;
  const visit = (module: PickleObject, prefix: string, depth: number): void => {
    if (depth > MAX_DEPTH || ++visits > MAX_VISITS)
      throw malformed('its modules are nested too deeply', where);
    for (const [name, part] of parts(module)) {
      if (part instanceof TorchTensor) tensors.set(prefix + name, part);
      else if (part instanceof PickleObject) visit(part, `${prefix}${name}.`, depth + 1);
    }
  };
  visit(value, '', 0);
  return tensors;
}

/** Parameters, buffers and submodules of a module; every attribute of a TorchScript object. */
function parts(module: PickleObject): [string, PickleValue][] {
  const groups = ['_parameters', '_buffers', '_modules'].map((name) => module.get(name));
  const maps = groups.some((group) => group instanceof Map) ? groups : [module.state];
  return maps
    .flatMap((map) => (map instanceof Map ? [...map] : []))
    .filter((entry): entry is [string, PickleValue] => typeof entry[0] === 'string');
}
