// Captioned images that are encoded before training, into memory.

import { chunks } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { encodeImages, IMAGES_PER_BATCH } from '../../inference/jobs/encode-images.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import type { TokenizedDataset } from './examples.ts';

export interface EncodeOptions {
  /** The source, for messages. */
  readonly path: string;
  readonly faults: Faults;
  /** Usable images at which the encoding ends; all of them by default. */
  readonly max?: number | undefined;
}

/** Codes that stay in memory. */
const MAX_CODE_BYTES = 2 ** 32;

/** @throws UsageError when there are too many; DataError, InterruptedError as `encodeImages` does */
export async function encodeToMemory(
  source: readonly CaptionedImage[],
  codec: DvaeCodec,
  { path, faults, max = source.length }: EncodeOptions,
  { progress, signal }: JobContext,
): Promise<TokenizedDataset> {
  const interrupted = new InterruptedError('stopped while tokenizing', {
    code: 'E_INTERRUPTED',
    where: path,
    fix: 'mm tokenize keeps its work; train with data.tokens',
  });
  const encoded = encodeImages([codec], chunks(source, IMAGES_PER_BATCH), {
    faults,
    total: Math.min(max, source.length),
    interruption: () => interrupted,
    progress,
    signal,
  });
  const length = codec.grid ** 2;
  const count = Math.min(max + IMAGES_PER_BATCH, source.length);
  if (count * length * 2 > MAX_CODE_BYTES) throw tooLarge(count, path);
  const codes = new Uint16Array(count * length);
  const usable: CaptionedImage[] = [];
  for await (const batch of encoded) {
    codes.set(batch.codes, usable.length * length);
    usable.push(...batch.images);
    if (usable.length >= max) break;
  }
  return {
    keys: usable.map(({ key }) => key),
    captions: usable.map(({ captions }) => captions),
    codes: codes.subarray(0, usable.length * length),
    places: usable.map(({ split, weight }) => ({ ...(split && { split }), ...(weight && { weight }) })),
  };
}

const tooLarge = (images: number, where: string): UsageError =>
  new UsageError(`the codes of ${images} images do not stay in memory`, {
    code: 'E_DATA_TOO_LARGE',
    where,
    fix: 'lower data.shuffle.whole, and they are kept on disk',
  });
