// The rules of rules.ts the other way: tensors of other programs, made of ours. A tensor there may be several of ours,
// one after the other, and one of ours may be several there. Each is read when its turn to be written comes.

import { elementCount, type TensorArray } from '../checkpoint/dtype.ts';
import type { TensorSource } from '../checkpoint/safetensors.ts';
import { layoutRule, moveOutputs } from './layouts.ts';
import { namesOf, type Rule } from './rules.ts';

/** Rows of a tensor there. */
interface Fragment {
  readonly start: number;
  readonly source: TensorSource;
}

const read = async ({ data }: TensorSource): Promise<TensorArray> =>
  typeof data === 'function' ? data() : data;

/** A tensor of ours in the layout that it has there. */
function arranged(source: TensorSource, rule: Rule): TensorSource {
  const layout = layoutRule(rule[2]);
  if (!layout) return source;
  const shape = layout.theirs(source.shape);
  if (!layout.outputs) return { ...source, shape };
  return { ...source, shape, data: async () => moveOutputs(await read(source), shape, 'first') };
}

/** `count` rows of a tensor, the first of which is `start`. */
export function rowsOf(source: TensorSource, start: number, count: number): TensorSource {
  const [all = 0, ...rest] = source.shape;
  if (start === 0 && count === all) return source;
  const size = elementCount(rest) as number;
  return {
    ...source,
    shape: [count, ...rest],
    data: async () => (await read(source)).subarray(start * size, (start + count) * size) as TensorArray,
  };
}

/** Fragments one after the other; of one type, as parts of one tensor are. */
function joined(name: string, fragments: readonly Fragment[]): TensorSource {
  const [first, ...others] = fragments.toSorted((a, b) => a.start - b.start);
  if (!first) throw new RangeError(`${name} has no rows`);
  if (first.start === 0 && others.length === 0) return first.source;
  let rows = 0;
  for (const { start, source } of [first, ...others]) {
    if (start !== rows || source.dtype !== first.source.dtype)
      throw new RangeError(`the rows of ${name} from ${rows} on are missing, or of another type`);
    rows += source.shape[0] as number;
  }
  const shape = [rows, ...first.source.shape.slice(1)];
  const data = async (): Promise<TensorArray> => {
    const parts: TensorArray[] = [];
    for (const { source } of [first, ...others]) parts.push(await read(source));
    const [model] = parts as [Float32Array];
    const all = new (model.constructor as Float32ArrayConstructor)(elementCount(shape) as number);
    let at = 0;
    for (const part of parts) {
      all.set(part as Float32Array, at);
      at += part.length;
    }
    return all;
  };
  return { dtype: first.source.dtype, shape, data };
}

/**
 * Tensors by their external names, made of ours; `rename` of the same rules gives ours again.
 * @param ours tensors by our names; rules of others are passed over
 * @param rest rows that no rule makes, by external name
 * @throws RangeError when a rule's tensor has no place, or rows of a tensor are missing
 */
export function renameBack(
  ours: ReadonlyMap<string, TensorSource>,
  rules: readonly Rule[],
  rest: readonly (readonly [name: string, start: number, source: TensorSource])[] = [],
): Map<string, TensorSource> {
  const fragments = new Map<string, Fragment[]>();
  const place = (name: string, start: number, source: TensorSource): void => {
    fragments.set(name, [...(fragments.get(name) ?? []), { start, source }]);
  };
  const used = new Set<string>();
  for (const rule of rules) {
    const [name, , , rows] = rule;
    const own = ours.get(name);
    if (!own) continue;
    used.add(name);
    const source = arranged(own, rule);
    const names = namesOf(rule);
    const count = (source.shape[0] ?? 1) / names.length;
    for (const [i, theirs] of names.entries()) {
      const part = names.length === 1 ? source : rowsOf(source, i * count, count);
      if (!rows) place(theirs, 0, part);
      let taken = 0;
      for (const [start, length] of rows ?? []) {
        place(theirs, start, rows?.length === 1 ? part : rowsOf(part, taken, length));
        taken += length;
      }
    }
  }
  const lost = [...ours.keys()].find((name) => !used.has(name));
  if (lost !== undefined) throw new RangeError(`no rule has a place for ${lost}`);
  for (const [name, start, source] of rest) place(name, start, source);
  return new Map(Array.from(fragments, ([name, parts]) => [name, joined(name, parts)]));
}
