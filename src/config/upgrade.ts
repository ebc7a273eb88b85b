// Configurations of older versions, brought to the keys of this one.

import { isMap, type ModelKind } from './kind.ts';
import { RETIRED_ATTENTION_KINDS, RETIRED_KEYS } from './retired.ts';

/** Version 2 of config.yaml has `kind` and `version` at its top; version 1 has neither, and other keys (retired.ts). */
export const CONFIG_VERSION = 2;

/** The same configuration of version 1 with the keys and values of version 2. */
export function upgradeConfig(kind: ModelKind, tree: unknown): unknown {
  if (!isMap(tree)) return tree;
  const upgraded = structuredClone(tree);
  for (const [old, now] of RETIRED_KEYS[kind])
    rename(upgraded, old.split('.'), now.split('.').at(-1) as string);
  const { model } = upgraded;
  if (kind === 'dalle' && isMap(model)) {
    for (const key of ['attention', 'lastAttention'])
      if (Object.hasOwn(model, key)) model[key] = attentionKinds(model[key]);
  }
  return upgraded;
}

/** Renames the last key of `path`, and leaves it where the section has the new key too. */
function rename(tree: Record<string, unknown>, path: readonly string[], now: string): void {
  const section = path.slice(0, -1).reduce<unknown>((at, key) => (isMap(at) ? at[key] : undefined), tree);
  const old = path.at(-1) as string;
  if (!isMap(section) || !Object.hasOwn(section, old) || Object.hasOwn(section, now)) return;
  section[now] = section[old];
  delete section[old];
}

const attentionKinds = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(attentionKinds)
    : typeof value === 'string' && Object.hasOwn(RETIRED_ATTENTION_KINDS, value)
      ? RETIRED_ATTENTION_KINDS[value]
      : value;
