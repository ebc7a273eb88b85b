// Images to token shards. The shard of each image depends on the source alone, so that an interrupted run resumes with
// the shards that are missing.

import { readCheckpoint } from '../../checkpoint/read.ts';
import {
  type IndexedImage,
  type IndexedPart,
  type IndexedSource,
  openIndexed,
} from '../../data/shards/indexed-source.ts';
import { Faults } from '../../data/sources/faults.ts';
import type { TableOptions } from '../../data/sources/source.ts';
import { TokenFolder, type TokenizedFolder } from '../../data/tokens/folder.ts';
import type { ShardLayout, Skipped } from '../../data/tokens/manifest.ts';
import type { TokenSample } from '../../data/tokens/shard.ts';
import type { Share } from '../../data/tokens/share.ts';
import type { DeviceRequest } from '../../engine/session/devices.ts';
import { onEachDevice, withEachDevice } from '../../engine/session/each-device.ts';
import { DataError, InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { DvaeCodec } from '../dvae/codec.ts';
import {
  assertCodesFit,
  type Codecs,
  type EncodedBatch,
  encodeImages,
  IMAGES_PER_BATCH,
} from './encode-images.ts';

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
  /** The shards that are made: all of them by default. */
  readonly share?: Share | undefined;
  /** Devices that the images are spread over; one by default. */
  readonly devices?: DeviceRequest | undefined;
  /** Largest share of the data that may be unusable, 0 to 1. */
  readonly maxBad?: number | undefined;
  readonly table?: TableOptions | undefined;
  /** Images up to which the source is listed in memory; 200,000 by default. */
  readonly whole?: number;
}

/** Images up to which a source is listed in memory. */
const WHOLE = 200_000;

/**
 * Encodes every image that can be read, and writes the shards and the manifest, which it returns; with a share, those
 * of its shards. A large source of several parts is read part by part, so that memory holds two parts and a shard.
 * @throws UsageError, DataError, EngineError about the data, the checkpoint and the storage
 * @throws InterruptedError when `signal` is aborted, after the current shard
 */
export async function tokenizeFolder(
  { data, dvae, out, shardSize, resume, share, devices, maxBad, table, whole = WHOLE }: TokenizeOptions,
  context: JobContext,
): Promise<TokenizedFolder> {
  const warn = (message: string): void => context.log.warn(message);
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn });
  const faults = new Faults(context.log, { maxBad });
  const source = await openIndexed(data, whole, { faults, table }, context);
  if (source.uncaptioned) warn(`${source.uncaptioned} of ${source.total} images have no caption`);
  try {
    return await withEachDevice(devices, async (runtimes) => {
      const codecs = await onEachDevice(runtimes, (runtime) => DvaeCodec.open(runtime, checkpoint));
      assertCodesFit(codecs[0], dvae);
      const made = await tokenizeSource(source, codecs, { out, shardSize, resume, share, faults }, context);
      const { uncaptioned, count } = made;
      if (source.uncaptioned === undefined && uncaptioned > 0)
        warn(`${uncaptioned} of ${count} images have no caption`);
      return finished(made.folder, data);
    });
  } finally {
    faults.summarize();
  }
}

export interface SourceOptions extends Pick<TokenizeOptions, 'out' | 'shardSize' | 'resume' | 'share'> {
  readonly faults: Faults;
  /** What to do after an interruption. */
  readonly continuation?: string;
}

export interface TokenizedSource {
  /** Undefined when no image can be used. */
  readonly folder: TokenizedFolder | undefined;
  /** Images of the shards that were made, and those of them without a caption. */
  readonly count: number;
  readonly uncaptioned: number;
}

/**
 * Encodes the images of a source into a folder of token shards; images that `faults` knows already are skipped.
 * @throws as `tokenizeFolder`, of which it is the work
 */
export async function tokenizeSource(
  source: IndexedSource,
  codecs: Codecs,
  { out, shardSize, resume, share, faults, continuation }: SourceOptions,
  { log, progress, signal }: JobContext,
): Promise<TokenizedSource> {
  const warn = (message: string): void => log.warn(message);
  const [codec] = codecs;
  const layout = shardLayout(codec, source, shardSize);
  const folder = await TokenFolder.open(out, layout, { resume, warn, share, images: source.total });
  try {
    const wanted = new WantedImages(source, folder, shardSize);
    const encoded = encodeImages(codecs, wanted.batches(), {
      faults,
      total: folder.total,
      done: folder.done,
      interruption: ([first]) =>
        first!.index % shardSize === 0 ? interrupted(out, continuation) : undefined,
      progress,
      signal,
    });
    let samples: TokenSample[] = [];
    let skipped: Skipped[] = [];
    for await (const batch of encoded) {
      samples.push(...toSamples(batch, codec.grid));
      skipped.push(...skippedOf(batch, faults));
      const { index: last } = batch.all.at(-1) as IndexedImage;
      await wanted.release(last);
      if ((last + 1) % shardSize !== 0 && last + 1 !== source.total) continue;
      await folder.write(Math.floor(last / shardSize), samples, skipped);
      samples = [];
      skipped = [];
    }
    const { count, uncaptioned } = wanted;
    return { folder: await folder.finish(), count, uncaptioned };
  } finally {
    await folder.close();
  }
}

/** The images of the shards that are missing, in batches of one shard each. */
class WantedImages {
  readonly #source: IndexedSource;
  readonly #folder: TokenFolder;
  readonly #shardSize: number;
  /** Parts whose images may still be read. */
  #open: IndexedPart[] = [];
  count = 0;
  uncaptioned = 0;

  constructor(source: IndexedSource, folder: TokenFolder, shardSize: number) {
    this.#source = source;
    this.#folder = folder;
    this.#shardSize = shardSize;
  }

  async *batches(): AsyncGenerator<readonly IndexedImage[], void> {
    const shardOf = (index: number): number => Math.floor(index / this.#shardSize);
    const isWanted = (from: number, to: number): boolean => {
      for (let shard = shardOf(from); shard <= shardOf(to - 1); shard++)
        if (this.#folder.isMissing(shard)) return true;
      return false;
    };
    let batch: IndexedImage[] = [];
    for await (const part of this.#source.parts(isWanted)) {
      this.#open.push(part);
      for (const image of part.images) {
        if (!this.#folder.isMissing(shardOf(image.index))) continue;
        this.count++;
        this.uncaptioned += Number(image.captions.length === 0);
        // A shard's batches have the same images wherever its parts begin.
        const place = image.index % this.#shardSize;
        if (batch.length > 0 && (place === 0 || place % IMAGES_PER_BATCH === 0)) {
          yield batch;
          batch = [];
        }
        batch.push(image);
      }
    }
    if (batch.length > 0) yield batch;
  }

  /** Closes the parts whose images are all encoded. @param last index of the last one */
  async release(last: number): Promise<void> {
    const isDone = ({ images }: IndexedPart): boolean => (images.at(-1)?.index ?? -1) <= last;
    for (const part of this.#open.filter(isDone)) await part.close();
    this.#open = this.#open.filter((part) => !isDone(part));
  }
}

function shardLayout(
  { config, grid, hash }: DvaeCodec,
  source: IndexedSource,
  shardSize: number,
): ShardLayout {
  const { imageSize, vocabulary } = config;
  return { dvae: hash, imageSize, grid, vocabulary, shardSize, source: source.hash };
}

const interrupted = (
  out: string,
  fix = 'run the same command with `resume` to make the others',
): InterruptedError =>
  new InterruptedError('stopped; the finished shards are kept', { code: 'E_INTERRUPTED', where: out, fix });

const toSamples = ({ images, codes }: EncodedBatch<IndexedImage>, grid: number): TokenSample[] =>
  images.map(({ index, key, file, captions, split, label, weight }, i) => ({
    ...{ index, key, file, captions, split, label, weight },
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

/** @throws DataError when there is no image in the folder */
export function finished(folder: TokenizedFolder | undefined, data: string): TokenizedFolder {
  if (folder) return folder;
  throw new DataError('none of the images can be read', {
    code: 'E_NO_USABLE_IMAGE',
    where: data,
    fix: 'mm data check lists the reason for each file',
  });
}
