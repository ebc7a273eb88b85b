// Images decoded in batches, in order, ahead of who uses them: centre-cropped, as models take them, unless told otherwise.

import { mapConcurrently } from '../util/concurrent.ts';
import { DataError } from '../util/errors.ts';
import { type DecodeOptions, decodeImage } from './decode.ts';
import type { ImageFile } from './image.ts';
import type { Faults } from './sources/faults.ts';

export interface DecodedBatch<P> {
  /** The batch as it was asked for. */
  readonly all: readonly P[];
  /** Those of it that are not at fault. */
  readonly images: readonly P[];
  /** RGB, images × size × size × 3 */
  readonly pixels: Uint8Array;
}

/** Batches decoded while the one before is used. */
const PREFETCH = 2;
/** Files of a batch in memory at a time; sharp decodes four at once by itself. */
const FILES_AT_ONCE = 4;

/** What a model takes: pixels on a side and, for a dVAE, the codes on a side that they become. */
export interface ModelInput {
  readonly size: number;
  readonly grid?: number;
  readonly preprocessing?: DecodeOptions['preprocessing'];
  readonly crop?: 'center' | 'none';
}

/** Decodes each batch. Throws DataError when too many images are at fault; see `Faults`. */
export async function* decodeBatches<P extends ImageFile>(
  batches: Iterable<readonly P[]>,
  size: ModelInput,
  faults: Faults,
): AsyncGenerator<DecodedBatch<P>, void> {
  const running: Promise<DecodedBatch<P>>[] = [];
  try {
    for (const batch of batches) {
      const decoding = decodeBatch(batch, size, faults);
      decoding.catch(() => {}); // seen when its turn comes
      running.push(decoding);
      if (running.length > PREFETCH) yield await (running.shift() as Promise<DecodedBatch<P>>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<DecodedBatch<P>>);
  } finally {
    await Promise.allSettled(running);
  }
}

async function decodeBatch<P extends ImageFile>(
  all: readonly P[],
  size: ModelInput,
  faults: Faults,
): Promise<DecodedBatch<P>> {
  const decoded = await mapConcurrently(all, FILES_AT_ONCE, (image) =>
    faults.guard(image, () => decodeImage(image, { crop: 'center', ...size })),
  );
  return {
    all,
    images: all.filter((_, i) => decoded[i] !== undefined),
    pixels: Buffer.concat(decoded.filter((pixels) => pixels !== undefined)),
  };
}

/** Decoded at a time by `decodeAll`. */
const CHUNK = 32;

/**
 * The first images that can be read, at most `most`, in memory.
 * @param what names them in messages: the `what` images
 * @throws DataError when none can be read
 */
export async function decodeAll<P extends ImageFile>(
  images: readonly P[],
  size: ModelInput,
  faults: Faults,
  what: string,
  most = Number.POSITIVE_INFINITY,
): Promise<{ images: readonly P[]; pixels: Uint8Array }> {
  const parts: Uint8Array[] = [];
  const whole: P[] = [];
  for await (const part of decodeBatches(chunks(images, CHUNK), size, faults)) {
    parts.push(part.pixels);
    whole.push(...part.images);
    if (whole.length >= most) break;
  }
  if (whole.length === 0) {
    throw new DataError(`none of the ${what} images can be read`, {
      where: images[0]?.path ?? '',
      fix: 'mm data check lists what is wrong',
    });
  }
  const kept = whole.slice(0, most);
  return { images: kept, pixels: Buffer.concat(parts).subarray(0, kept.length * size.size ** 2 * 3) };
}

/** The items in runs of `count`; the last may be shorter. */
export function* chunks<T>(items: readonly T[], count: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += count) yield items.slice(start, start + count);
}
