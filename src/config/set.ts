// Values from the command line over the configuration file's: `--set path.to.key=value` and dotted flags.

import { parseDocument } from 'yaml';
import { UsageError } from '../util/errors.ts';

/** One value from outside the file, with the words that tell the user where it came from. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly origin: string;
}

const FIX = 'write --set path.to.key=value; lists by index (key.0=value); null takes the key out';

function splitPath(dotted: string, origin: string): string[] {
  const path = dotted.split('.').map((key) => key.trim());
  if (path.includes('')) throw new UsageError(`${origin} names no key`, { fix: FIX });
  return path;
}

/** Parses the text after `--set`; the value is YAML. Throws UsageError. */
export function parseSet(text: string): Override {
  const origin = `--set ${text}`;
  const equals = text.indexOf('=');
  if (equals < 0) throw new UsageError(`${origin} has no "="`, { fix: FIX });
  const path = splitPath(text.slice(0, equals), origin);
  const document = parseDocument(text.slice(equals + 1), { prettyErrors: false, logLevel: 'error' });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    throw new UsageError(`${origin}: the value is not YAML: ${problem.message}`, {
      fix: `quote it for YAML, and both for the shell: --set '${path.join('.')}="…"'`,
    });
  }
  return { path, value: document.toJS({ maxAliasCount: 0 }), origin };
}

/** Flags by dotted key; undefined values are flags that were not given. */
export function flagOverrides(flags: Readonly<Record<string, unknown>>): Override[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const origin = `the command line (${key})`;
      return { path: splitPath(key, origin), value, origin };
    });
}

/** `tree` with the override in place; copies along the path, so what YAML aliases share stays as it was. */
export function applyOverride(tree: unknown, { path, value, origin }: Override): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const place = (child: unknown): unknown => applyOverride(child, { path: rest, value, origin });
  if (Array.isArray(tree)) {
    const index = Number(key);
    if (!/^\d+$/.test(key) || index > tree.length) {
      throw new UsageError(`${origin}: the list has no place "${key}", only 0 to ${tree.length}`, {
        fix: FIX,
      });
    }
    return [...tree.slice(0, index), place(tree[index]), ...tree.slice(index + 1)];
  }
  // A map here may contradict the schema; validation then says so, naming the override.
  const map = tree !== null && typeof tree === 'object' ? (tree as Record<string, unknown>) : {};
  const { [key]: child, ...others } = map;
  if (rest.length === 0 && value === null) return others;
  return { ...map, [key]: place(Object.hasOwn(map, key) ? child : undefined) };
}
