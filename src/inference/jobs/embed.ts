// Features of image files, a few in memory at a time; those of contents seen before come from the cache.

import { createHash } from 'node:crypto';
import { decodeBuffer, readImageFile } from '../../data/decode.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { ImageFile } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import type { ClipModel } from '../clip/clip.ts';
import type { EmbeddingCache } from './embedding-cache.ts';

export interface EmbedOptions {
  readonly cache: EmbeddingCache | undefined;
  readonly faults: Faults;
  /** Told how many images are done with. */
  readonly onProgress: (done: number) => void;
  readonly signal: AbortSignal;
}

export interface EmbeddedImages<P> {
  /** Those that could be read. */
  readonly images: readonly P[];
  /** images × embedding, each of length 1 */
  readonly features: Float32Array;
  /** How many came from the cache. */
  readonly cached: number;
}

/** Images encoded at a time, and chunks read and decoded while one is encoded. */
const IMAGES_PER_BATCH = 32;
const AHEAD = 2;
const FILES_AT_ONCE = 4;

/** A file's content hash with its feature or its pixels, whichever there is. */
interface PreparedImage<P> {
  readonly image: P;
  readonly hash: string;
  readonly feature?: Float32Array | undefined;
  readonly pixels?: Uint8Array;
}

/**
 * Encodes the images that can be read, in their order.
 * @throws DataError when too many are at fault, or all; the signal's reason when it is aborted
 */
export async function embedImages<P extends ImageFile>(
  clip: ClipModel,
  images: readonly P[],
  { cache, faults, onProgress, signal }: EmbedOptions,
): Promise<EmbeddedImages<P>> {
  const { embedding, image: imageConfig } = clip.config;
  const prepare = async (image: P): Promise<PreparedImage<P> | undefined> =>
    faults.guard(image, async () => {
      const data = await readImageFile(image);
      const hash = createHash('sha256').update(data).digest('hex');
      const feature = await cache?.get(hash);
      if (feature) return { image, hash, feature };
      const { pixels } = await decodeBuffer(data, {
        size: imageConfig.size,
        crop: 'center',
        preprocessing: 'clip',
      });
      return { image, hash, pixels };
    });

  const found: PreparedImage<P>[] = [];
  const features = new Float32Array(images.length * embedding);
  let done = 0;
  let cached = 0;
  for await (const chunk of prefetched(images, prepare)) {
    signal.throwIfAborted();
    const fresh = chunk.filter(({ pixels }) => pixels !== undefined);
    const encoded = await clip.encodeImages(Buffer.concat(fresh.map(({ pixels }) => pixels as Uint8Array)));
    const made = new Map(
      fresh.map(({ hash }, i) => [hash, encoded.slice(i * embedding, (i + 1) * embedding)]),
    );
    await cache?.add(made);
    for (const { image, hash, feature } of chunk) {
      features.set((feature ?? made.get(hash)) as Float32Array, found.length * embedding);
      found.push({ image, hash });
    }
    cached += chunk.length - fresh.length;
    done += IMAGES_PER_BATCH;
    onProgress(Math.min(done, images.length));
  }
  if (found.length === 0) {
    throw new DataError('none of the images can be read', {
      where: images[0]?.path ?? '',
      fix: 'name images that other programs can open',
    });
  }
  return {
    images: found.map(({ image }) => image),
    features: features.subarray(0, found.length * embedding),
    cached,
  };
}

/** Chunks of what `prepare` gives for the images, some ahead of who uses them. */
async function* prefetched<P, R>(
  images: readonly P[],
  prepare: (image: P) => Promise<R | undefined>,
): AsyncGenerator<R[], void> {
  const running: Promise<(R | undefined)[]>[] = [];
  const next = async (): Promise<R[]> =>
    (await (running.shift() as Promise<(R | undefined)[]>)).filter((result) => result !== undefined);
  try {
    for (const chunk of chunks(images, IMAGES_PER_BATCH)) {
      const preparing = mapConcurrently(chunk, FILES_AT_ONCE, prepare);
      preparing.catch(() => {}); // seen when its turn comes
      running.push(preparing);
      if (running.length > AHEAD) yield await next();
    }
    while (running.length > 0) yield await next();
  } finally {
    await Promise.allSettled(running);
  }
}
