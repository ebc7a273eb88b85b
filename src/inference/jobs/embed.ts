// CLIP features of image files, a few files in memory at a time; known contents come from the cache.

import { createHash } from 'node:crypto';
import { clipInput } from '../../data/clip-input.ts';
import { decodeBuffer } from '../../data/decode.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { ImageFile } from '../../data/image.ts';
import { readImageFile } from '../../data/read-image.ts';
import { decodeReducedJpeg } from '../../data/reduced-jpeg.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { OfDevices } from '../../engine/session/each-device.ts';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError } from '../../util/errors.ts';
import { prefetch } from '../../util/prefetch.ts';
import { spread } from '../../util/spread.ts';
import type { ClipPipeline } from '../clip/pipeline.ts';
import type { EmbeddingCache } from './embedding-cache.ts';

export interface EmbedOptions {
  readonly cache: EmbeddingCache | undefined;
  readonly faults: Faults;
  /** Called with the number of images done so far. */
  readonly onProgress: (done: number) => void;
  readonly signal: AbortSignal;
}

export interface EmbeddedImages<P> {
  /** The images that could be read. */
  readonly images: readonly P[];
  /** images × embedding, each of length 1 */
  readonly features: Float32Array;
  /** Features that came from the cache. */
  readonly cached: number;
}

/** Images encoded in one run. */
const IMAGES_PER_BATCH = 32;
/** Batches in flight, the awaited one included. */
const PREFETCH = 3;
/** Bound on files of a batch in memory. */
const MAX_OPEN_IMAGES = 4;

/** The content hash of a file, with its cached feature or its pixels. */
interface PreparedImage<P> {
  readonly image: P;
  readonly hash: string;
  readonly feature?: Float32Array | undefined;
  readonly pixels?: Uint8Array;
}

/**
 * Encodes the images that can be read, in order.
 * @param clips the same CLIP on each device
 * @throws DataError when too many are at fault, or all; the reason of `signal` when it is aborted
 */
export async function embedImages<P extends ImageFile>(
  clips: OfDevices<ClipPipeline>,
  images: readonly P[],
  { cache, faults, onProgress, signal }: EmbedOptions,
): Promise<EmbeddedImages<P>> {
  const { embedding, image: imageConfig } = clips[0].config;
  const prepare = async (image: P): Promise<PreparedImage<P> | undefined> =>
    faults.guard(image, async () => {
      const data = await readImageFile(image);
      const hash = createHash('sha256').update(data).digest('hex');
      const feature = await cache?.get(hash);
      if (feature) return { image, hash, feature };
      const { pixels } = await decodeBuffer(data, { ...clipInput(imageConfig), jpeg: decodeReducedJpeg });
      return { image, hash, pixels };
    });

  const found: PreparedImage<P>[] = [];
  const features = new Float32Array(images.length * embedding);
  let done = 0;
  let cached = 0;
  const batches = prefetch(chunks(images, IMAGES_PER_BATCH), PREFETCH, async (batch) => {
    const prepared = await mapConcurrently(batch, MAX_OPEN_IMAGES, prepare);
    return prepared.filter((image) => image !== undefined);
  });
  const encodings = spread(clips, batches, async (clip, batch) => {
    signal.throwIfAborted();
    const fresh = batch.filter(({ pixels }) => pixels !== undefined);
    const pixels = Buffer.concat(fresh.map((image) => image.pixels as Uint8Array));
    return { batch, fresh, encoded: await clip.encodeImages(pixels) };
  });
  for await (const { batch, fresh, encoded } of encodings) {
    const added = new Map(
      fresh.map(({ hash }, i) => [hash, encoded.slice(i * embedding, (i + 1) * embedding)]),
    );
    await cache?.add(added);
    for (const { image, hash, feature } of batch) {
      features.set((feature ?? added.get(hash)) as Float32Array, found.length * embedding);
      found.push({ image, hash });
    }
    cached += batch.length - fresh.length;
    done += IMAGES_PER_BATCH;
    onProgress(Math.min(done, images.length));
  }
  if (found.length === 0) {
    throw new DataError('none of the images can be read', {
      code: 'E_NO_USABLE_IMAGE',
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
