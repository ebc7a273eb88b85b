// Token shards read into memory for training.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { counted } from '../../util/counted.ts';
import { DataError } from '../../util/errors.ts';
import {
  DamagedTokensError,
  isShardName,
  MANIFEST,
  readManifest,
  type ShardRecord,
  sha256,
  type TokenManifest,
} from './manifest.ts';
import { type TokenSample, unpackShard } from './shard.ts';
import { isPartialManifest } from './share.ts';

/** A tokenized data set. */
export interface TokenSet {
  /** Codes on a side. */
  readonly grid: number;
  /** Codes in the codebook. */
  readonly vocabulary: number;
  /** Hash of the weights of the dVAE; see `assertSameDvae`. */
  readonly dvaeHash: string;
  /** Keys of the images in their data set. */
  readonly keys: readonly string[];
  /** The captions of each image. */
  readonly captions: readonly (readonly string[])[];
  /** images × grid × grid, each below the vocabulary */
  readonly codes: Uint16Array;
  /** The part of the data set that each image belongs to, where its source said so. */
  readonly splits: readonly TokenSample['split'][];
}

/** Whether mm tokenize wrote the folder, or is writing it. */
export async function isTokenFolder(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return names.some(isPartialManifest) || (names.includes(MANIFEST) && names.some(isShardName));
}

/** Reads a shard and checks its length and hash. Throws DamagedTokensError. */
export async function readShard(
  folder: string,
  { file, bytes, sha256: expected }: ShardRecord,
): Promise<Buffer> {
  const path = join(folder, file);
  const content = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new DamagedTokensError(
      cause.code === 'ENOENT' ? 'a shard is missing' : 'a shard cannot be read',
      path,
      cause,
    );
  });
  if (content.length !== bytes)
    throw new DamagedTokensError(`the shard has ${content.length} bytes of ${bytes}`, path);
  if (sha256(content) !== expected)
    throw new DamagedTokensError('the shard differs from what was written', path);
  return content;
}

/**
 * The manifest of a folder that `mm tokenize` finished.
 * @throws DataError when there is none, or it is damaged
 */
export async function readFinishedManifest(path: string): Promise<TokenManifest> {
  const manifest = await readManifest(join(path, MANIFEST));
  if (manifest) return manifest;
  throw new DataError('no finished token shards', {
    code: 'E_NO_TOKENS',
    where: path,
    fix: `name a folder with a ${MANIFEST}, which mm tokenize writes at its end; \`resume\` finishes an interrupted one`,
  });
}

/**
 * The images of a shard, in order.
 * @param last index of the image before the first one
 * @throws DamagedTokensError for a shard that is missing, damaged or unlike the manifest
 */
export async function readSamples(
  path: string,
  shard: ShardRecord,
  manifest: TokenManifest,
  last = -1,
): Promise<TokenSample[]> {
  const where = join(path, shard.file);
  const samples = await unpackShard(await readShard(path, shard), where);
  if (samples.length !== shard.count)
    throw new DamagedTokensError(
      `the shard has ${counted(samples.length, 'image')} of ${shard.count}`,
      where,
    );
  let before = last;
  for (const sample of samples) {
    assertSample(sample, before, manifest, where);
    before = sample.index;
  }
  return samples;
}

/**
 * Reads a folder that `mm tokenize` finished.
 * @throws DataError naming the file: no manifest, or a shard that is missing, damaged or unlike the manifest
 */
export async function readTokenFolder(path: string): Promise<TokenSet> {
  const manifest = await readFinishedManifest(path);
  const { dvae, grid, vocabulary, images, shards } = manifest;
  const keys: string[] = [];
  const captions: (readonly string[])[] = [];
  const splits: TokenSample['split'][] = [];
  const codes = new Uint16Array(images * grid ** 2);
  let last = -1;
  for (const shard of shards) {
    for (const sample of await readSamples(path, shard, manifest, last)) {
      last = sample.index;
      codes.set(sample.codes, keys.length * grid ** 2);
      keys.push(sample.key);
      captions.push(sample.captions);
      splits.push(sample.split);
    }
  }
  return { grid, vocabulary, dvaeHash: dvae, keys, captions, codes, splits };
}

function assertSample(
  sample: TokenSample,
  last: number,
  { grid, vocabulary }: TokenManifest,
  where: string,
): void {
  const { index, key, rows, columns, codes } = sample;
  if (!(index > last))
    throw new DamagedTokensError(`image ${index} (${key}) comes after image ${last}`, where);
  if (rows !== grid || columns !== grid)
    throw new DamagedTokensError(
      `${key} has ${rows} × ${columns} codes, the manifest says ${grid} × ${grid}`,
      where,
    );
  const largest = codes.reduce((a, b) => Math.max(a, b), 0);
  if (largest >= vocabulary)
    throw new DamagedTokensError(`${key} has code ${largest}, the vocabulary is ${vocabulary}`, where);
}
