// Opens the images of a training run: in memory as a whole, or shard by shard where a data set of tars is too large.

import type { ShuffleConfig } from '../config/fields.ts';
import { counted } from '../util/counted.ts';
import { DataError } from '../util/errors.ts';
import type { JobContext } from '../util/job.ts';
import type { CaptionedImage } from './image.ts';
import { type ImageSet, imageList } from './image-set.ts';
import { type Shard, ShardedImages } from './shards/images.ts';
import { countsOfLarge } from './shards/source-counts.ts';
import { Faults } from './sources/faults.ts';
import { recordLack } from './sources/keep-captioned.ts';
import { openSource } from './sources/open-source.ts';
import { interrupted, readImages } from './sources/resolve.ts';
import type { ReadOptions, Source, SourcePart } from './sources/source.ts';
import { isHeldOut, isValidation, repeated, splitExamples } from './split.ts';
import { readTrainingImages, type TrainingSource } from './training-source.ts';

type ImageShard = Shard<CaptionedImage>;

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
  const counts = await countsOfLarge(source, data.shuffle.whole, options);
  if (counts) return openShards(source, counts, data, options);
  const { captions, faults, signal } = options;
  const all = await readTrainingImages(data, { captions, faults, signal });
  const { training, heldOut } = splitExamples(all, data.validation);
  return { training: imageList(training), heldOut, all };
}

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
    `${counted(total, 'image')} in ${counted(shards.length, 'shard')}, read shard by shard; ${shuffle.buffer} are shuffled at a time`,
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
      const { images, close } = await read();
      const all = images.map((image) => image && repeated(image));
      return {
        images: Array.from({ length: copies }, (_, copy) => all.map((some) => some?.[copy])).flat(),
        close,
      };
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
      const { images, close } = await part.read({ captions, faults: isRecorded ? new Faults() : faults });
      if (!isRecorded && captions === 'required')
        for (const image of images) if (image.captions.length === 0) recordLack(image, faults);
      isRecorded = true;
      return { images, close };
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
    // Copies of held-out images stay: they are few, and read again.
    const { images } = await shard.read();
    const usable = images.filter((image) => image !== undefined).filter(isUsable);
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
      `validation: ${counted(heldOut.length, 'held-out image')} of the first ${Math.min(shards.length, MAX_SEARCHED)} shards`,
    );
  return heldOut;
}
