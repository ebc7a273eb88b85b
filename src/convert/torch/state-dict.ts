// The tensors of a model by dotted name, from the object of a torch file: a state dictionary, a whole module or a
// TorchScript archive.

import { DataError } from '../../util/errors.ts';
import { nameOfKind, type PickleMap, PickleObject, type PickleValue } from '../pickle/values.ts';
import type { ExternalTensor, StateDict } from '../tensors.ts';
import { TorchTensor } from './tensor.ts';
import { UnreadableTensor } from './unreadable.ts';

export type { StateDict };

/** Attributes of a module that hold its tensors and its parts. */
const GROUPS = ['_parameters', '_buffers', '_modules'];

/** Limits for files that nest or share modules without end. */
const MAX_DEPTH = 64;
const MAX_VISITS = 1_000_000;

const malformed = (what: string, where: string): DataError =>
  new DataError(`not the weights of a model: ${what}`, {
    code: 'E_WEIGHTS_UNKNOWN',
    where,
    fix: 'give a file with a state dictionary or a whole module',
  });

/** Classes that a TorchScript archive defines itself, in code that is not read. */
const SCRIPT_PREFIX = '__torch__.';

const isTensor = (value: PickleValue | undefined): value is TorchTensor | UnreadableTensor =>
  value instanceof TorchTensor || value instanceof UnreadableTensor;

/** Whether `value` is a dictionary with tensors in it. */
export const isStateDict = (value: PickleValue | undefined): value is PickleMap =>
  value instanceof Map && [...value].some(([name, tensor]) => typeof name === 'string' && isTensor(tensor));

/** Whether `value` is a whole module, or a TorchScript archive's. */
export const isModule = (value: PickleValue | undefined): value is PickleObject =>
  value instanceof PickleObject &&
  (value.className.startsWith(SCRIPT_PREFIX) || GROUPS.some((name) => value.get(name) instanceof Map));

/**
 * The tensors in `value`; what else a dictionary has beside them is left out. They are as in torch's `state_dict()`.
 * @throws DataError E_WEIGHTS_UNKNOWN when it is not a model
 */
export function stateDict(value: PickleValue, where: string): StateDict {
  const tensors = new Map<string, ExternalTensor>();
  if (value instanceof Map && value.size > 0) {
    for (const [name, tensor] of value)
      if (typeof name === 'string' && isTensor(tensor)) tensors.set(name, tensor);
    if (tensors.size > 0) return tensors;
  }
  if (!isModule(value)) throw malformed(`the object is ${nameOfKind(value)}`, where);
  let visits = 0;
  const visit = (module: PickleObject, prefix: string, depth: number): void => {
    if (depth > MAX_DEPTH || ++visits > MAX_VISITS)
      throw malformed('its modules are nested too deeply', where);
    for (const [name, part] of parts(module)) {
      if (isTensor(part)) tensors.set(prefix + name, part);
      else if (part instanceof PickleObject) visit(part, `${prefix}${name}.`, depth + 1);
    }
  };
  visit(value, '', 0);
  return tensors;
}

/** Parameters, buffers and submodules of a module; every attribute of a TorchScript object. */
function parts(module: PickleObject): [string, PickleValue][] {
  const groups = GROUPS.map((name) => module.get(name));
  const isScript =
    module.className.startsWith(SCRIPT_PREFIX) && !groups.some((group) => group instanceof Map);
  const maps = isScript ? [module.state] : groups;
  return maps
    .flatMap((map) => (map instanceof Map ? [...map] : []))
    .filter((entry): entry is [string, PickleValue] => typeof entry[0] === 'string');
}
