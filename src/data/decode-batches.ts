// Images decoded in batches, in order, ahead of their consumer.

import { mapConcurrently } from '../util/concurrent.ts';
import { DataError } from '../util/errors.ts';
import { prefetch } from '../util/prefetch.ts';
import { type DecodeOptions, decodeImage } from './decode.ts';
import type { ImageFile } from './image.ts';
import { decodeReducedJpeg } from './reduced-jpeg.ts';
import type { Faults } from './sources/faults.ts';

export interface DecodedBatch<P> {
  /** All images of the batch. */
  readonly all: readonly P[];
  /** The images that are not at fault. */
  readonly images: readonly P[];
  /** RGB, images × size × size × 3 */
  readonly pixels: Uint8Array;
}

/** Batches in flight, the awaited one included. */
const PREFETCH = 3;
/** Bound on files of a batch in memory; sharp decodes four at once. */
const MAX_OPEN_IMAGES = 4;

/** The input of a model: pixels on a side and, for a dVAE, codes on a side. */
export interface ModelInput {
  readonly size: number;
  readonly grid?: number;
  readonly preprocessing?: DecodeOptions['preprocessing'];
  readonly interpolation?: DecodeOptions['interpolation'];
  readonly fill?: number;
  /** `center` by default. */
  readonly crop?: 'center' | 'none' | 'pad';
}

/** Decodes each batch. Throws DataError when too many images are at fault; see `Faults`. */
export function decodeBatches<P extends ImageFile>(
  batches: Iterable<readonly P[]>,
  input: ModelInput,
  faults: Faults,
): AsyncGenerator<DecodedBatch<P>, void> {
  return prefetch(batches, PREFETCH, async (all) => {
    const decoded = await mapConcurrently(all, MAX_OPEN_IMAGES, (image) =>
      faults.guard(image, () => decodeImage(image, { crop: 'center', ...input, jpeg: decodeReducedJpeg })),
    );
    return {
      all,
      images: all.filter((_, i) => decoded[i] !== undefined),
      pixels: Buffer.concat(decoded.filter((pixels) => pixels !== undefined)),
    };
  });
}

/** Images in a batch of `decodeAll`. */
const IMAGES_PER_BATCH = 32;

/**
 * The first images that can be read, at most `max`, in memory.
 * @param what names them in messages: the `what` images
 * @throws DataError when none can be read
 */
export async function decodeAll<P extends ImageFile>(
  images: readonly P[],
  input: ModelInput,
  faults: Faults,
  what: string,
  max = Number.POSITIVE_INFINITY,
): Promise<{ images: readonly P[]; pixels: Uint8Array }> {
  const pixels: Uint8Array[] = [];
  const usable: P[] = [];
  for await (const batch of decodeBatches(chunks(images, IMAGES_PER_BATCH), input, faults)) {
    pixels.push(batch.pixels);
    usable.push(...batch.images);
    if (usable.length >= max) break;
  }
  if (usable.length === 0) {
    throw new DataError(`none of the ${what} images can be read`, {
      code: 'E_NO_USABLE_IMAGE',
      where: images[0]?.path ?? '',
      fix: 'mm data check lists the reasons',
    });
  }
  const kept = usable.slice(0, max);
  return { images: kept, pixels: Buffer.concat(pixels).subarray(0, kept.length * input.size ** 2 * 3) };
}

/** The items in runs of `count`; the last may be shorter. */
export function* chunks<T>(items: readonly T[], count: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += count) yield items.slice(start, start + count);
}
