// What the files of another program say of a model beside its weights. A checkpoint keeps it as `source` of its
// config.yaml, so that mm export can give the files as they came; mm itself reads nothing of it.

import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import type { ConvertOptions, ExternalFiles } from './external.ts';
import type { PickleValue } from './pickle/values.ts';

/** Programs, by the names of mm export's formats. */
export const ORIGINS = [
  'transformers',
  'diffusers',
  'open-clip',
  'openai',
  'dalle-pytorch',
  'taming',
] as const;

const originSchema = z.object({
  format: z.enum(ORIGINS),
  /** Contents of files by name, and settings in files of weights. */
  files: z.record(z.string(), z.json()).default({}),
});
export type Origin = z.output<typeof originSchema>;
export type Json = z.output<ReturnType<typeof z.json>>;

/** The origin in a checkpoint's configuration, where it has one. */
export const originIn = (config: unknown): Origin | undefined =>
  z.looseObject({ source: originSchema }).safeParse(config).data?.source;

/** Larger files are vocabularies. */
const MAX_BYTES = 2 ** 20;

/** Options that choose among the files, or say what none of them does. */
const CHOICES: readonly (keyof ConvertOptions)[] = ['part', 'tokenizer', 'config', 'dvae', 'nullCaptions'];

/** Whether the model is that of the files: no option makes another of it. */
export const isAsItCame = (options: ConvertOptions): boolean =>
  Object.entries(options).every(
    ([key, value]) => value === undefined || (CHOICES as readonly string[]).includes(key),
  );

/** The contents of those of the files, of one name each, that are there and are JSON. */
export async function jsonFiles(
  files: ExternalFiles,
  names: readonly string[],
): Promise<Record<string, Json>> {
  const found: Record<string, Json> = {};
  for (const name of names) {
    const [path, another] = files.paths.filter((path) => basename(path) === name);
    if (path === undefined || another !== undefined || (await stat(path)).size > MAX_BYTES) continue;
    try {
      found[name] = JSON.parse(await readFile(path, 'utf8')) as Json;
    } catch {
      // What is needed of it is read elsewhere, and says what is wrong with it.
    }
  }
  return found;
}

/** A value of a pickle as JSON; undefined where it has what JSON has not. Tuples become lists, as everywhere here. */
export function toJson(value: PickleValue | ReadonlyMap<PickleValue, PickleValue>): Json | undefined {
  const plain = (inner: typeof value): unknown =>
    inner instanceof Map
      ? Object.fromEntries(Array.from(inner, ([key, part]) => [String(key), plain(part)]))
      : Array.isArray(inner)
        ? inner.map(plain)
        : inner;
  return z.json().safeParse(plain(value)).data;
}
