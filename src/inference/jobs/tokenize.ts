// Images to token shards. The shard of each image depends on the source alone, so that an interrupted run resumes with
// the shards that are missing.

import { relative, sep } from 'node:path';
import { readCheckpoint } from '../../checkpoint/read.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import { Faults } from '../../data/sources/faults.ts';
import { openSource } from '../../data/sources/open-source.ts';
import { readImages } from '../../data/sources/resolve.ts';
import type { ReadOptions, TableOptions } from '../../data/sources/source.ts';
import { TokenFolder } from '../../data/tokens/folder.ts';
import { type ShardLayout, type Skipped, sha256, type TokenManifest } from '../../data/tokens/manifest.ts';
import type { TokenSample } from '../../data/tokens/shard.ts';
import { Runtime } from '../../engine/session/runtime.ts';
import { DataError, InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import { assertCodesFit, type EncodedBatch, encodeImages, IMAGES_PER_BATCH } from './encode-images.ts';

export interface TokenizeOptions {
  /** Source of images, with captions where there are any (data/sources/resolve.ts). */
  readonly data: string;
  /** Checkpoint or run of the dVAE. */
  readonly dvae: string;
  /** Folder for the shards. */
  readonly out: string;
  /** Images in a shard. */
  readonly shardSize: number;
  /** Keep the finished shards that are in `out`. */
  readonly resume: boolean;
  /** Largest share of the data that may be unusable, 0 to 1. */
  readonly maxBad?: number | undefined;
  readonly table?: TableOptions | undefined;
}

/** An image with its index in the whole set. */
interface IndexedImage extends CaptionedImage {
  readonly index: number;
  /** Relative to the data set, with forward slashes. */
  readonly file: string;
}

/**
 * Encodes every image that can be read, and writes the shards and the manifest, which it returns.
 * @throws UsageError, DataError, EngineError about the data, the checkpoint and the storage
 * @throws InterruptedError when `signal` is aborted, after the current shard
 */
export async function tokenizeFolder(
  { data, dvae, out, shardSize, resume, maxBad, table }: TokenizeOptions,
  { log, progress, signal }: JobContext,
): Promise<TokenManifest> {
  const warn = (message: string): void => log.warn(message);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn });
  const faults = new Faults(log, { maxBad });
  const images = await readIndexedImages(data, { faults, signal, table });
  const bare = images.filter(({ captions }) => captions.length === 0).length;
  if (bare > 0) warn(`${bare} of ${images.length} images have no caption`);
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, checkpoint);
    assertCodesFit(codec, dvae);
    const folder = await TokenFolder.open(out, shardLayout(codec, images, shardSize), { resume, warn });
    const missing = images.filter(({ index }) => !folder.has(Math.floor(index / shardSize)));
    const batches = [...chunks(missing, shardSize)].flatMap((shard) => [...chunks(shard, IMAGES_PER_BATCH)]);
    const encoded = encodeImages(codec, batches, {
      faults,
      total: images.length,
      done: folder.done,
      interruption: ([first]) => (first!.index % shardSize === 0 ? interrupted(out) : undefined),
      progress,
      signal,
    });
    let samples: TokenSample[] = [];
    let skipped: Skipped[] = [];
    for await (const batch of encoded) {
      samples.push(...toSamples(batch, codec.grid));
      skipped.push(...skippedOf(batch, faults));
      const { index: last } = batch.all.at(-1) as IndexedImage;
      if ((last + 1) % shardSize !== 0 && last + 1 !== images.length) continue;
      await folder.write(Math.floor(last / shardSize), samples, skipped);
      samples = [];
      skipped = [];
    }
    return await finish(folder, data);
  } finally {
    faults.summarize();
    await runtime.close();
  }
}

async function readIndexedImages(
  data: string,
  options: Pick<ReadOptions, 'faults' | 'signal' | 'table'>,
): Promise<IndexedImage[]> {
  const { base } = await openSource(data);
  const images = await readImages(data, { captions: 'optional', ...options });
  return images.map((image, index) => ({
    ...image,
    index,
    file: relative(base, image.path).replaceAll(sep, '/'),
  }));
}

function shardLayout(
  { config, grid, hash }: DvaeCodec,
  images: readonly IndexedImage[],
  shardSize: number,
): ShardLayout {
  const { imageSize, vocabulary } = config;
  // JSON has null for an image without captions: the hash of the files in version 1.
  const contents = images.map(({ file, captions }) =>
    JSON.stringify([file, captions.length > 0 ? captions.join('\n') : null]),
  );
  return { dvae: hash, imageSize, grid, vocabulary, shardSize, source: sha256(contents.join('\n')) };
}

const interrupted = (out: string): InterruptedError =>
  new InterruptedError('stopped; the finished shards are kept', {
    code: 'E_INTERRUPTED',
    where: out,
    fix: 'run the same command with `resume` to make the others',
  });

const toSamples = ({ images, codes }: EncodedBatch<IndexedImage>, grid: number): TokenSample[] =>
  images.map(({ index, key, file, captions, split }, i) => ({
    index,
    key,
    file,
    captions,
    split,
    rows: grid,
    columns: grid,
    codes: codes.subarray(i * grid ** 2, (i + 1) * grid ** 2),
  }));

function skippedOf({ all, images }: EncodedBatch<IndexedImage>, faults: Faults): Skipped[] {
  if (images.length === all.length) return [];
  return all
    .filter((image) => !images.includes(image))
    .map(({ path, file }) => ({ file, why: faults.reason(path) ?? '' }));
}

async function finish(folder: TokenFolder, data: string): Promise<TokenManifest> {
  if (folder.manifest.images > 0) return folder.finish();
  throw new DataError('none of the images can be read', {
    code: 'E_NO_USABLE_IMAGE',
    where: data,
    fix: 'mm data check lists the reason for each file',
  });
}
