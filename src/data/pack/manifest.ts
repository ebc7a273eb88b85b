// manifest.json of a packed data set: what it was made of and how, and its shards. While the folder is filled, the same
// file tells of the finished shards.

import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../../util/errors.ts';
import { writeFileAtomic } from '../../util/files.ts';

const FORMAT = 'mm-webdataset';
const VERSION = 1;
export const PACK_MANIFEST = 'manifest.json';

export const shardName = (shard: number): string => `${String(shard).padStart(6, '0')}.tar`;

/** How images are packed: the same settings of the same images give the same shards. */
const settingsSchema = z.object({
  /** Pixels of the shorter side of larger images; undefined leaves images as they are. */
  size: z.int().positive().optional(),
  /** Of images that are made smaller. */
  format: z.enum(['jpeg', 'png', 'webp']),
  quality: z.int().min(1).max(100),
  deduplicate: z.enum(['none', 'exact', 'near']),
  /** Whether images without a caption are left out. */
  captionsOnly: z.boolean(),
  /** Images in a shard. */
  shardSize: z.int().positive(),
});

const countsSchema = z.object({
  images: z.int().min(0),
  /** Images with a caption. */
  captioned: z.int().min(0),
  /** Images made smaller. */
  resized: z.int().min(0),
  /** Left out: images that cannot be used, copies, and images without a caption. */
  unusable: z.int().min(0),
  duplicates: z.int().min(0),
  uncaptioned: z.int().min(0),
});

const shardSchema = z.object({
  file: z.string().regex(/^\d{6,}\.tar$/),
  images: z.int().min(0),
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const manifestSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** The source as it was named. */
  source: z.string(),
  settings: settingsSchema,
  ...countsSchema.shape,
  /** Images of the source that the shards take account of, and a hash of their keys and captions in order. */
  read: z.int().min(0),
  readHash: z.string(),
  shards: z.array(shardSchema),
});

export type PackSettings = z.output<typeof settingsSchema>;
export type PackCounts = z.output<typeof countsSchema>;
export type PackedShard = z.output<typeof shardSchema>;
export type PackManifest = z.output<typeof manifestSchema>;

/** Whether two runs pack in the same way; the order of the keys does not count. */
export const areSameSettings = (a: PackSettings, b: PackSettings): boolean =>
  JSON.stringify(settingsSchema.parse(a)) === JSON.stringify(settingsSchema.parse(b));

export const makeManifest = (rest: Omit<PackManifest, 'format' | 'version'>): PackManifest => ({
  format: FORMAT,
  version: VERSION,
  ...rest,
});

export const writeManifest = (path: string, manifest: PackManifest): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`);

/** Reads a manifest; undefined when there is none. Throws DataError when it is damaged or of another version. */
export async function readManifest(path: string): Promise<PackManifest | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw damaged(path, error);
  }
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(path, cause);
  }
}

const damaged = (where: string, cause: unknown): DataError =>
  new DataError('the manifest of the packed data set cannot be read', {
    code: 'E_MANIFEST_DAMAGED',
    where,
    fix: 'remove the folder and pack again',
    cause,
  });

/** Images in tars that `mm data pack` wrote and that are as it wrote them, by path: they need not be counted. */
export async function packedCounts(tars: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const folder of new Set(tars.map((path) => dirname(path)))) {
    // A file of this name may be another program's.
    const manifest = await readManifest(join(folder, PACK_MANIFEST)).catch(() => undefined);
    for (const { file, bytes, images } of manifest?.shards ?? []) {
      const path = join(folder, file);
      const { size } = await stat(path).catch(() => ({ size: -1 }));
      if (size === bytes) counts.set(path, images);
    }
  }
  return counts;
}
