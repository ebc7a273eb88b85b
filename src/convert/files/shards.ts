// Weights in several files: model-00001-of-00003.safetensors and so on, and the index that says which tensor is where.

import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { counted } from '../../util/counted.ts';
import { DataError } from '../../util/errors.ts';
import { isFile } from './kinds.ts';

const SHARD = /^(.*)-(\d{2,})-of-(\d{2,})(\.\w+)$/;
const INDEX = '.index.json';

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

export interface ShardSet {
  /** The index, or the first shard. */
  readonly where: string;
  readonly files: readonly string[];
  /** The file of each tensor, where there is an index. */
  readonly fileOf: ReadonlyMap<string, string>;
}

/** The sets that the files belong to; shards and indexes beside the files count too. Missing shards are not checked. */
export async function findShards(paths: readonly string[]): Promise<ShardSet[]> {
  const sets = new Map<string, ShardSet>();
  for (const path of paths) {
    const match = SHARD.exec(basename(path));
    const index = path.endsWith(INDEX)
      ? path
      : match && join(dirname(path), `${match[1]}${match[4]}${INDEX}`);
    if (!index || sets.has(index)) continue;
    const listed = await readIndex(index);
    if (listed) sets.set(index, listed);
    else if (match) sets.set(index, numbered(path, match));
  }
  return [...sets.values()];
}

async function readIndex(path: string): Promise<ShardSet | undefined> {
  if (!(await isFile(path))) return undefined;
  const text = await readFile(path, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const parsed = indexSchema.safeParse(value);
  const names = parsed.success ? Object.entries(parsed.data.weight_map) : [];
  if (names.length === 0 || names.some(([, file]) => file !== basename(file)))
    throw new DataError('not an index of shards: it has no `weight_map` of tensors to files beside it', {
      code: 'E_WEIGHTS_INDEX',
      where: path,
      fix: 'download it again',
    });
  const fileOf = new Map(names.map(([name, file]) => [name, join(dirname(path), file)]));
  return { where: path, files: [...new Set(fileOf.values())].sort(), fileOf };
}

function numbered(path: string, [, base, number = '', total = '', ending]: RegExpExecArray): ShardSet {
  const files = Array.from({ length: Math.min(Number(total), MAX_SHARDS) }, (_, i) =>
    join(dirname(path), `${base}-${String(i + 1).padStart(number.length, '0')}-of-${total}${ending}`),
  );
  return { where: files[0] as string, files, fileOf: new Map() };
}
/** No model has as many. */
const MAX_SHARDS = 10_000;

/** @throws DataError E_WEIGHTS_INCOMPLETE naming the shards that are not there */
export async function assertComplete({ files, fileOf, where }: ShardSet): Promise<void> {
  const missing: string[] = [];
  for (const file of files) if (!(await isFile(file))) missing.push(file);
  if (missing.length === 0) return;
  const tensors = [...fileOf.values()].filter((file) => missing.includes(file)).length;
  const some = missing.slice(0, 3).map((file) => basename(file));
  const rest = missing.length > some.length ? ` and ${missing.length - some.length} more` : '';
  throw new DataError(
    `${missing.length} of ${counted(files.length, 'shard')} missing: ${some.join(', ')}${rest}${tensors > 0 ? `, with ${counted(tensors, 'tensor')}` : ''}`,
    {
      code: 'E_WEIGHTS_INCOMPLETE',
      where,
      fix: `put them into ${dirname(where)}`,
    },
  );
}

/** @throws DataError E_WEIGHTS_INCOMPLETE where a tensor is not in the shard that the index names */
export function assertIndexed(
  { fileOf, where }: ShardSet,
  has: (name: string, file: string) => boolean,
): void {
  const absent = [...fileOf].find(([name, file]) => !has(name, file));
  if (absent === undefined) return;
  throw new DataError(`tensor ${absent[0]} is not in ${basename(absent[1])}, where the index has it`, {
    code: 'E_WEIGHTS_INCOMPLETE',
    where,
    fix: 'download the index and all of its shards again, from one version of the model',
  });
}
