// Names of tensors without what wrappers add to them: DataParallel, torch.compile, FSDP, Lightning, and the attribute of
// the class that holds the model.

import type { StateDict } from '../tensors.ts';

/** Segments that wrappers add, at any place of a name. */
export const WRAPPERS: ReadonlySet<string> = new Set([
  'module',
  '_orig_mod',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
]);

const withoutWrappers = (name: string): string =>
  name
    .split('.')
    .filter((segment) => !WRAPPERS.has(segment))
    .join('.');

/** The same tensors by names without wrappers' segments; unchanged where two would have one name then. */
export function unwrapped(tensors: StateDict): StateDict {
  const plain = new Map(Array.from(tensors, ([name, tensor]) => [withoutWrappers(name), tensor]));
  return plain.size === tensors.size ? plain : tensors;
}

export interface Part {
  /** What all names of the model begin with: empty, or with a dot at its end. */
  readonly prefix: string;
  readonly tensors: StateDict;
  /** Names of the tensors that do not begin so. */
  readonly beside: readonly string[];
}

/** More models than any file holds. */
const MAX_PARTS = 100;

/** The parts of a state dictionary that are a model with tensors of the names `anchors`, one for each prefix. */
export function partsWith(tensors: StateDict, anchors: readonly string[]): Part[] {
  const [anchor = ''] = anchors;
  const prefixes = [...tensors.keys()].flatMap((name) => {
    if (name !== anchor && !name.endsWith(`.${anchor}`)) return [];
    const prefix = name.slice(0, name.length - anchor.length);
    return anchors.every((each) => tensors.has(prefix + each)) ? [prefix] : [];
  });
  return prefixes.slice(0, MAX_PARTS).map((prefix) => {
    const inner = prefixes.filter((other) => other !== prefix && other.startsWith(prefix));
    const isOwn = (name: string): boolean =>
      name.startsWith(prefix) && !inner.some((other) => name.startsWith(other));
    return {
      prefix,
      tensors: new Map(
        [...tensors].flatMap(([name, tensor]) => (isOwn(name) ? [[name.slice(prefix.length), tensor]] : [])),
      ),
      beside: [...tensors.keys()].filter((name) => !isOwn(name)),
    };
  });
}
