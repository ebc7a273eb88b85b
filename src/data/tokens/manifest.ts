// manifest.json: the contents and the origin of a folder of token shards. While the folder is filled,
// manifest.partial.json has the same about the finished shards.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../../util/errors.ts';

export const MANIFEST = 'manifest.json';
export const PARTIAL_MANIFEST = 'manifest.partial.json';

const FORMAT = 'mm-tokens';
/** Raised when an older reader would misread the file. */
const VERSION = 2;

export const shardName = (shard: number): string => `shard-${String(shard).padStart(6, '0')}.tar`;
const SHARD_NAME = /^shard-(\d{6,})\.tar$/;
export const isShardName = (file: string): boolean => SHARD_NAME.test(file);
export const shardNumber = (file: string): number => Number(SHARD_NAME.exec(file)?.[1]);

const formatSchema = z.object({ format: z.literal(FORMAT), version: z.int().positive() });
const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);

/** Determines the contents of the shards: the same layout gives the same shards. */
const layoutSchema = z.object({
  /** Hash of the dVAE's weights. */
  dvae: sha256Schema,
  /** Pixels on a side of the encoded images. */
  imageSize: z.int().positive(),
  /** Codes on a side. */
  grid: z.int().positive(),
  /** Codes in the codebook. */
  vocabulary: z.int().positive(),
  /** Images in a shard, the skipped ones included; the last shard may have fewer. */
  shardSize: z.int().positive(),
  /** Hash of the images' names and captions, in order. */
  source: sha256Schema,
});

const shardSchema = z.object({
  file: z.string().regex(SHARD_NAME),
  /** Images in the shard. */
  count: z.int().min(0),
  bytes: z.int().min(0),
  sha256: sha256Schema,
  /** Skipped images, with the reason. */
  skipped: z.array(z.object({ file: z.string(), why: z.string() })),
});

const manifestSchema = formatSchema
  .extend({
    ...layoutSchema.shape,
    /** Images in all shards. */
    images: z.int().min(0),
    shards: z.array(shardSchema),
  })
  .refine(({ images, shards }) => images === countImages(shards), {
    path: ['images'],
    message: 'is not the sum of the shards’ counts',
  });

export type ShardLayout = z.output<typeof layoutSchema>;
export type ShardRecord = z.output<typeof shardSchema>;
export type Skipped = ShardRecord['skipped'][number];
export type TokenManifest = z.output<typeof manifestSchema>;

/** Shards that differ from what was written. `mm tokenize` with `resume` makes the damaged ones again. */
export class DamagedTokensError extends DataError {
  constructor(what: string, where: string, cause?: unknown) {
    super(what, {
      code: 'E_TOKENS_DAMAGED',
      where,
      fix: 'run the same mm tokenize with `resume`, or copy the folder again',
      cause,
    });
  }
}

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

const countImages = (shards: readonly ShardRecord[]): number =>
  shards.reduce((sum, { count }) => sum + count, 0);

/** The manifest of a layout and its finished `shards`, in order. */
export function makeManifest(layout: ShardLayout, shards: readonly ShardRecord[]): TokenManifest {
  return { format: FORMAT, version: VERSION, ...layout, images: countImages(shards), shards: [...shards] };
}

type AnyManifest = { readonly version: number; readonly [key: string]: unknown };

/** Upgrades by the version they start from, each to the next version. */
const UPGRADES: Readonly<Record<number, (manifest: AnyManifest) => AnyManifest>> = {
  1: ({ pictures, ...manifest }) => ({ ...manifest, version: 2, images: pictures }),
};

/** A manifest of any known version as one of the current version. */
function upgrade(manifest: AnyManifest): AnyManifest {
  const step = UPGRADES[manifest.version];
  return step ? upgrade(step(manifest)) : manifest;
}

/** Reads a manifest; undefined when there is none. Throws DataError when it is damaged or of a newer version. */
export async function readManifest(path: string): Promise<TokenManifest | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw damagedManifest('the manifest cannot be read', path, cause);
  }
  const format = formatSchema.loose().safeParse(value);
  if (format.success && format.data.version > VERSION) {
    throw new DataError(
      `token shards of format ${format.data.version}; this mm reads up to format ${VERSION}`,
      {
        code: 'E_NEWER_FORMAT',
        where: path,
        fix: 'use the version of mm that wrote them, or tokenize again',
      },
    );
  }
  const manifest = manifestSchema.safeParse(format.success ? upgrade(format.data) : value);
  if (manifest.success) return manifest.data;
  const issue = manifest.error.issues[0];
  const place = issue?.path.join('.') || 'the manifest';
  throw damagedManifest(`${place}: ${issue?.message}`, path, manifest.error);
}

const damagedManifest = (what: string, where: string, cause: unknown): DataError =>
  new DataError(what, {
    code: 'E_TOKENS_DAMAGED',
    where,
    fix: 'copy the folder again, or remove it and run mm tokenize again',
    cause,
  });
