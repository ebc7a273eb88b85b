// Compares figures that were taken before and after: by name, and where a name is new by their values.

import type { Figures } from './figures.ts';

export interface Difference {
  readonly of: string;
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

export interface Comparison {
  readonly renamed: readonly { readonly of: string; readonly from: string; readonly to: string }[];
  readonly differences: readonly Difference[];
}

const NONE = '(none)';

/** The first place where two series part. */
function firstDifference(before: readonly string[], after: readonly string[]) {
  const length = Math.max(before.length, after.length);
  for (let i = 0; i < length; i++)
    if (before[i] !== after[i]) return { before: before[i] ?? NONE, after: after[i] ?? NONE };
  return undefined;
}

/** Series that only one side has a name for are the same when all their values are. */
export function compare(before: Record<string, Figures>, after: Record<string, Figures>): Comparison {
  const renamed: { of: string; from: string; to: string }[] = [];
  const differences: Difference[] = [];
  for (const of of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [old, now] = [before[of] ?? {}, after[of] ?? {}];
    const fresh = new Set(Object.keys(now).filter((name) => !Object.hasOwn(old, name)));
    for (const [name, values] of Object.entries(old)) {
      const own = now[name];
      if (own !== undefined) {
        const difference = firstDifference(values, own);
        if (difference) differences.push({ of, name, ...difference });
        continue;
      }
      const text = values.join('\n');
      const to = [...fresh].find((other) => now[other]?.join('\n') === text);
      if (to === undefined) differences.push({ of, name, before: values[0] ?? NONE, after: NONE });
      else renamed.push({ of, from: name, to });
      if (to !== undefined) fresh.delete(to);
    }
    for (const name of fresh) differences.push({ of, name, before: NONE, after: now[name]?.[0] ?? NONE });
  }
  return { renamed, differences };
}
