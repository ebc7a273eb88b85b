// Images to token shards. Which image goes into which shard follows from the source alone, so that an
// interrupted run goes on with the shards that are missing.

import { relative, sep } from 'node:path';
import { readCheckpoint } from '../../checkpoint/read.ts';
import { chunks, type DecodedBatch, decodeBatches } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import { captionsOf } from '../../data/sources/captions.ts';
import { Faults } from '../../data/sources/faults.ts';
import { baseFolder, readImages } from '../../data/sources/resolve.ts';

import { TokenFolder } from '../../data/tokens/folder.ts';
import { type ShardLayout, type Skipped, sha256, type TokenManifest } from '../../data/tokens/manifest.ts';
import type { TokenSample } from '../../data/tokens/shard.ts';
import { Runtime } from '../../engine/session/runtime.ts';
import { DataError, InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { DvaeCodec } from '../dvae/codec.ts';

export interface TokenizeOptions {
  /** Source of images (data/images.ts), with captions where there are any. */
  readonly data: string;
  /** Checkpoint or run of the dVAE. */
  readonly dvae: string;
  /** Folder for the shards. */
  readonly out: string;
  /** Images in a shard. */
  readonly shardSize: number;
  /** Keep the finished shards that are in `out`. */
  readonly resume: boolean;
}

/** Images encoded at a time. */
const BATCH = 32;
/** Codes are kept in 16 bits. */
const MAX_CODES = 2 ** 16;

/** An image at its place in the whole set, with a line for each caption. */
interface IndexedImage extends CaptionedImage {
  readonly index: number;
  /** Relative to the data set, with forward slashes. */
  readonly file: string;
}

/**
 * Encodes every image that can be read, and writes the shards and the manifest, which it returns.
 * @throws UsageError, DataError, EngineError as the data, the checkpoint and the storage do
 * @throws InterruptedError when `signal` is aborted, after the shard that is being made
 */
export async function tokenizeFolder(
  { data, dvae, out, shardSize, resume }: TokenizeOptions,
  { log, progress, signal }: JobContext,
): Promise<TokenManifest> {
  const warn = (message: string): void => log.warn(message);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn });
  const base = await baseFolder(data);
  const images = (await readImages(data, { captions: 'optional' })).map((image, index) => ({
    ...image,
    caption: image.caption && captionsOf(image).join('\n'),
    index,
    file: relative(base, image.path).replaceAll(sep, '/'),
  }));
  const bare = images.filter(({ caption }) => caption === undefined).length;
  if (bare > 0) warn(`${bare} of ${images.length} images have no caption`);
  const faults = new Faults(log);
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, checkpoint);
    const folder = await TokenFolder.open(out, shardLayout(codec, images, shardSize, dvae), { resume, warn });
    progress.start('tokenizing', images.length, folder.done);
    const rate = new Rate();
    const missing = images.filter(({ index }) => !folder.has(Math.floor(index / shardSize)));
    const batches = [...chunks(missing, shardSize)].flatMap((shard) => [...chunks(shard, BATCH)]);
    let samples: TokenSample[] = [];
    let skipped: Skipped[] = [];
    const size = { size: codec.config.imageSize, grid: codec.grid };
    for await (const batch of decodeBatches(batches, size, faults)) {
      const { index: first } = batch.all[0] as IndexedImage;
      const { index: last } = batch.all.at(-1) as IndexedImage;
      if (signal.aborted && first % shardSize === 0) {
        throw new InterruptedError('stopped; the finished shards are kept', {
          where: out,
          fix: 'run the same command with --resume to make the others',
        });
      }
      samples.push(...(await encode(batch, codec)));
      skipped.push(...leftOut(batch, faults));
      rate.add(batch.all.length);
      progress.update(folder.done + samples.length + skipped.length, { 'images/s': rate.toString() });
      if ((last + 1) % shardSize !== 0 && last + 1 !== images.length) continue;
      await folder.write(Math.floor(last / shardSize), samples, skipped);
      samples = [];
      skipped = [];
    }
    return await finish(folder, data);
  } finally {
    progress.stop();
    faults.summarize();
    await runtime.close();
  }
}

function shardLayout(
  { config, grid, hash }: DvaeCodec,
  images: readonly IndexedImage[],
  shardSize: number,
  where: string,
): ShardLayout {
  const { imageSize, vocabulary } = config;
  if (vocabulary > MAX_CODES) {
    throw new DataError(`a vocabulary of ${vocabulary} codes does not fit in token shards`, {
      where,
      fix: `use a dVAE with at most ${MAX_CODES} codes`,
    });
  }
  const source = sha256(images.map(({ file, caption }) => JSON.stringify([file, caption])).join('\n'));
  return { dvae: hash, imageSize, grid, vocabulary, shardSize, source };
}

async function encode(
  { images, pixels }: DecodedBatch<IndexedImage>,
  codec: DvaeCodec,
): Promise<TokenSample[]> {
  const { grid } = codec;
  const codes = Uint16Array.from(await codec.encode(pixels));
  return images.map(({ index, key, file, caption }, i) => ({
    index,
    key,
    file,
    caption,
    rows: grid,
    columns: grid,
    codes: codes.subarray(i * grid ** 2, (i + 1) * grid ** 2),
  }));
}

function leftOut({ all, images }: DecodedBatch<IndexedImage>, faults: Faults): Skipped[] {
  if (images.length === all.length) return [];
  const reasons = new Map(faults.all.map(({ path, reason }) => [path, reason]));
  return all
    .filter((image) => !images.includes(image))
    .map(({ path, file }) => ({ file, why: reasons.get(path) ?? '' }));
}

async function finish(folder: TokenFolder, data: string): Promise<TokenManifest> {
  if (folder.manifest.images > 0) return folder.finish();
  throw new DataError('none of the images can be read', {
    where: data,
    fix: 'mm data check lists what is wrong with each file',
  });
}

/** Images a second, since it was made. */
class Rate {
  readonly #start = performance.now();
  #count = 0;

  add(count: number): void {
    this.#count += count;
  }

  toString(): string {
    return ((this.#count * 1000) / (performance.now() - this.#start)).toFixed(1);
  }
}
