// Opens the images of a training run: in memory as a whole, or shard by shard where a data set of tars is too large.

import { stat } from 'node:fs/promises';
import type { ShuffleConfig } from '../config/fields.ts';
import { cacheFolder } from '../engine/library/locate.ts';
import { DataError, InterruptedError } from '../util/errors.ts';
import type { JobContext } from '../util/job.ts';
import type { Logger } from '../util/logger.ts';
import type { CaptionedImage } from './image.ts';
import { type ImageSet, imageList } from './image-set.ts';
import { packedCounts } from './pack/manifest.ts';
import { imageCounts } from './shards/image-counts.ts';
import { type ImageShard, ShardedImages } from './shards/images.ts';
import { Faults } from './sources/faults.ts';
import { recordLack } from './sources/keep-captioned.ts';
import { openSource } from './sources/open-source.ts';
import { readImages } from './sources/resolve.ts';
import type { ReadOptions, Source, SourcePart } from './sources/source.ts';
import { isHeldOut, isValidation, repeated, splitExamples } from './split.ts';
import { readTrainingImages, type TrainingSource } from './training-source.ts';

export interface TrainingImages {
  readonly training: ImageSet;
  /** Validation images: all of them in memory, or the first of a data set that is read shard by shard. */
  readonly heldOut: readonly CaptionedImage[];
  /** All images whose captions can be checked before training; undefined where they are not in memory. */
  readonly all: readonly CaptionedImage[] | undefined;
}

export interface TrainingImageOptions extends JobContext, Pick<ReadOptions, 'captions'> {
  readonly batch: number;
  /** Held-out images that are used, at most. */
  readonly maxHeldOut: number;
  readonly faults: Faults;
}

/** The `data` section of a configuration. */
export interface ShuffledSource extends TrainingSource {
  /** Share of the images held out for validation. */
  readonly validation: number;
  readonly shuffle: ShuffleConfig;
}

/** Fewer bytes of a tar hold no image: a header, and contents in blocks of 512. */
const MIN_BYTES = 1024;
/** Shards that are searched for held-out images. */
const MAX_SEARCHED = 16;

/**
 * Opens the images of a configuration.
 * @throws DataError when there is no such source, no image in it, or it is damaged; InterruptedError
 */
export async function openTrainingImages(
  data: ShuffledSource,
  options: TrainingImageOptions,
): Promise<TrainingImages> {
  const source = await openSource(data.path, { weights: data.weights });
  const counts = (await mayBeLarge(source, data.shuffle)) ? await count(source, options) : undefined;
  const total = counts?.reduce((sum, images) => sum + images, 0) ?? 0;
  if (counts && total > data.shuffle.whole) return openShards(source, counts, data, options);
  const { captions, faults, signal } = options;
  const all = await readTrainingImages(data, { captions, faults, signal });
  const { training, heldOut } = splitExamples(all, data.validation);
  return { training: imageList(training), heldOut, all };
}

/** Whether a source has several parts that can be read in any order, and bytes for more images than stay in memory. */
async function mayBeLarge({ parts }: Source, { whole }: ShuffleConfig): Promise<boolean> {
  if (parts.length < 2 || parts.some(({ access }) => access !== 'direct')) return false;
  let bytes = 0;
  for (const { path } of parts) {
    bytes += (await stat(path).catch(() => ({ size: 0 }))).size;
    if (bytes > whole * MIN_BYTES) return true;
  }
  return false;
}

async function count(
  { path, parts }: Source,
  { progress, signal, log }: TrainingImageOptions,
): Promise<Int32Array> {
  const byPath = new Map(parts.map((part) => [part.path, part]));
  const packed = await packedCounts([...byPath.keys()]);
  let isStarted = false;
  const counts = await imageCounts(
    parts.map((part) => part.path),
    {
      cache: cacheFolder(),
      count: async (shard) => {
        if (signal.aborted) throw interrupted(path);
        return packed.get(shard) ?? countPart(byPath.get(shard) as SourcePart, log);
      },
      onProgress: (done, total) => {
        if (!isStarted) progress.start('counting images', total);
        isStarted = true;
        progress.update(done);
      },
    },
  ).finally(() => {
    if (isStarted) progress.stop();
  });
  const empty = counts.filter((images) => images === 0).length;
  if (empty > 0) log.warn(`${empty} of ${parts.length} shards of ${path} hold no image`);
  return counts;
}

/** Images of a part; 0 of one that is damaged, which is said. */
async function countPart(part: SourcePart, log: Logger): Promise<number> {
  try {
    return (await part.read({ captions: 'ignore' })).images.length;
  } catch (error) {
    if (!(error instanceof DataError) || error.code !== 'E_ARCHIVE_DAMAGED') throw error;
    log.warn(`skipping ${part.path}: ${error.message}`);
    return 0;
  }
}

const interrupted = (where: string): InterruptedError =>
  new InterruptedError('stopped while counting images', {
    code: 'E_INTERRUPTED',
    where,
    fix: 'run it again: the shards counted so far are not counted again',
  });

async function openShards(
  source: Source,
  counts: Int32Array,
  { validation, validationPath, table, shuffle }: ShuffledSource,
  options: TrainingImageOptions,
): Promise<TrainingImages> {
  const { captions, batch, faults, log, signal } = options;
  const isUsable = ({ captions: some }: CaptionedImage): boolean =>
    captions !== 'required' || some.length > 0;
  const shards = source.parts.map((part) => asShard(part, captions, faults));
  const share = validationPath === undefined ? validation : 0;
  const heldOut =
    validationPath === undefined
      ? await findHeldOut(shards, share, isUsable, options)
      : await readImages(validationPath, { captions, faults, signal, table });
  faults.report(heldOut.length);
  const copies = source.parts.map(({ weight = 1 }) => Math.ceil(weight));
  const training = new ShardedImages(
    source.path,
    shards.map((shard, i) => repeatedShard(shard, copies[i] as number)),
    {
      counts: counts.map((images, i) => images * (copies[i] as number)),
      // A batch and those in flight reach over two windows at most.
      buffer: Math.max(shuffle.buffer, 2 * batch),
      isTrained: (image) => isUsable(image) && !isHeldOut(image, share),
    },
  );
  const total = counts.reduce((sum, images) => sum + images, 0);
  log.info(
    `${total} images in ${shards.length} shards, read shard by shard; ${shuffle.buffer} are shuffled at a time`,
  );
  return { training, heldOut, all: undefined };
}

/**
 * A shard whose images have as many turns as the weight of any of them asks for; the turns beyond an image's own weight
 * are passed over.
 */
function repeatedShard({ path, read }: ImageShard, copies: number): ImageShard {
  return {
    path,
    read: async () => {
      const images = (await read()).map((image) => image && repeated(image));
      return Array.from({ length: copies }, (_, copy) => images.map((some) => some?.[copy])).flat();
    },
  };
}

/** What a shard leaves out is recorded when it is first read, and not again in later epochs. */
function asShard(
  { path, ...part }: SourcePart,
  captions: ReadOptions['captions'],
  faults: Faults,
): ImageShard {
  let isRecorded = false;
  return {
    path,
    read: async () => {
      const { images } = await part.read({ captions, faults: isRecorded ? new Faults() : faults });
      if (!isRecorded && captions === 'required')
        for (const image of images) if (image.captions.length === 0) recordLack(image, faults);
      isRecorded = true;
      return images;
    },
  };
}

/** The first held-out images, in the order of the source; the first images where none is held out. */
async function findHeldOut(
  shards: readonly ImageShard[],
  validation: number,
  isUsable: (image: CaptionedImage) => boolean,
  { maxHeldOut, log, signal }: TrainingImageOptions,
): Promise<CaptionedImage[]> {
  const found: CaptionedImage[] = [];
  let others: CaptionedImage[] = [];
  for (const [i, shard] of shards.entries()) {
    if (signal.aborted) throw interrupted(shard.path);
    if (found.length >= maxHeldOut || i >= MAX_SEARCHED || (validation === 0 && others.length >= maxHeldOut))
      break;
    const usable = (await shard.read()).filter((image) => image !== undefined).filter(isUsable);
    found.push(...usable.filter(({ key }) => isValidation(key, validation)));
    if (others.length < maxHeldOut) others = [...others, ...usable].slice(0, maxHeldOut);
  }
  const heldOut = (found.length > 0 ? found : others).slice(0, maxHeldOut);
  if (heldOut.length === 0) {
    throw new DataError('the first shards have no image with a caption', {
      code: 'E_NO_CAPTION',
      where: shards[0]?.path ?? '',
      fix: 'mm data check lists those without',
    });
  }
  if (found.length < maxHeldOut && validation > 0)
    log.info(
      `validation: ${heldOut.length} held-out images of the first ${Math.min(shards.length, MAX_SEARCHED)} shards`,
    );
  return heldOut;
}
