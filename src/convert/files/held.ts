// The state dictionaries in an object of torch.save, out of the dictionaries that training programs put around them.

import type { PickleValue } from '../pickle/values.ts';
import type { StateDict } from '../tensors.ts';
import { isModule, isStateDict, stateDict } from '../torch/state-dict.ts';

export interface HeldDict {
  /** Keys on the way to it, with dots between them; empty for the object itself. */
  readonly key: string;
  readonly tensors: StateDict;
}

const MAX_DEPTH = 4;
const MAX_DICTIONARIES = 1000;
/** Keys in the order in which training programs' own readers look for them; moving averages come last. */
export const FIRST_KEYS = [
  '',
  'state_dict',
  'model_state_dict',
  'model',
  'module',
  'net',
  'network',
  'weights',
  'params',
];
/** Keys and prefixes of moving averages, of the better of two states, and of models to learn from. */
export const AVERAGE = /(^|[._])(ema|average[d]?|teacher|target|momentum|best)([._]|$)/i;
/** Parts of a training state with tensors that are no weights. */
const NO_WEIGHTS = /^(optimizer|optim|lr_scheduler|scheduler|scaler|callbacks|loops|rng|random)/i;

/** All state dictionaries in `value`, the most likely first. */
export function heldDicts(value: PickleValue, where: string): HeldDict[] {
  const found: HeldDict[] = [];
  const visit = (inner: PickleValue, key: string, depth: number): void => {
    if (found.length >= MAX_DICTIONARIES) return;
    if (isStateDict(inner) || isModule(inner)) {
      const tensors = stateDict(inner, where);
      if (tensors.size > 0) found.push({ key, tensors });
    }
    if (!(inner instanceof Map) || depth === MAX_DEPTH) return;
    for (const [name, part] of inner)
      if (typeof name === 'string' && !NO_WEIGHTS.test(name))
        visit(part, key === '' ? name : `${key}.${name}`, depth + 1);
  };
  visit(value, '', 0);
  const place = ({ key }: HeldDict): number => {
    const at = FIRST_KEYS.indexOf(key);
    return at >= 0 ? at : FIRST_KEYS.length + (AVERAGE.test(key) ? 1 : 0);
  };
  return found.toSorted((a, b) => place(a) - place(b));
}
