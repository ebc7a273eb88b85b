// Values that override the configuration file's: `--set path.to.key=value`, and flags by dotted key.

import { parseDocument } from 'yaml';
import { UsageError } from '../util/errors.ts';

/** A value from outside the file; `origin` names its place in errors. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly origin: string;
}

const CODE = 'E_SET_SYNTAX';
const FIX = 'write --set path.to.key=value; lists by index (key.0=value); null removes the key';

function splitPath(dotted: string, origin: string): string[] {
  const path = dotted.split('.').map((key) => key.trim());
  if (path.includes('')) throw new UsageError(`${origin} names no key`, { code: CODE, fix: FIX });
  return path;
}

/**
 * Parses the text after `--set`; the value is YAML.
 * @throws UsageError
 */
export function parseSet(text: string): Override {
  const origin = `--set ${text}`;
  const equals = text.indexOf('=');
  if (equals < 0) throw new UsageError(`${origin} has no "="`, { code: CODE, fix: FIX });
  const path = splitPath(text.slice(0, equals), origin);
  const document = parseDocument(text.slice(equals + 1), { prettyErrors: false, logLevel: 'error' });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    throw new UsageError(`${origin}: the value is not YAML: ${problem.message}`, {
      code: CODE,
      fix: `quote it for YAML, and both for the shell: --set '${path.join('.')}="…"'`,
    });
  }
  return { path, value: document.toJS({ maxAliasCount: 0 }), origin };
}

/** Overrides of flags by dotted key; undefined values are flags that were not given. */
export function flagOverrides(flags: Readonly<Record<string, unknown>>): Override[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const origin = `the command line (${key})`;
      return { path: splitPath(key, origin), value, origin };
    });
}

/** `tree` with the override applied. Copies along the path, so other uses of a YAML alias keep their value. */
export function applyOverride(tree: unknown, { path, value, origin }: Override): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const place = (child: unknown): unknown => applyOverride(child, { path: rest, value, origin });
  if (Array.isArray(tree)) {
    const index = Number(key);
    if (!/^\d+$/.test(key) || index > tree.length) {
      throw new UsageError(`${origin}: the list has no item "${key}", only 0 to ${tree.length}`, {
        code: CODE,
        fix: FIX,
      });
    }
    return [...tree.slice(0, index), place(tree[index]), ...tree.slice(index + 1)];
  }
  // A map here may contradict the schema; validation reports that, with the override as its place.
  const map = tree !== null && typeof tree === 'object' ? (tree as Record<string, unknown>) : {};
  const { [key]: child, ...others } = map;
  if (rest.length === 0 && value === null) return others;
  return { ...map, [key]: place(Object.hasOwn(map, key) ? child : undefined) };
}
