// Images to codes, a batch at a time: the loop of `mm tokenize` and of training on images that are not tokenized yet.

import { type DecodedBatch, decodeBatches } from '../../data/decode-batches.ts';
import type { ImageFile } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { OfDevices } from '../../engine/session/each-device.ts';
import { DataError, type InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { spread } from '../../util/spread.ts';
import type { DvaeCodec } from '../dvae/codec.ts';

/** Images encoded in one run of the dVAE. */
export const IMAGES_PER_BATCH = 32;
/** Codes are kept in 16 bits. */
const MAX_VOCABULARY = 2 ** 16;

export interface EncodeOptions<P> extends Pick<JobContext, 'progress' | 'signal'> {
  readonly faults: Faults;
  /** Images of the whole job, and those encoded earlier; for the progress. */
  readonly total: number;
  readonly done?: number;
  /** Once the signal is aborted: the error to throw before this batch is encoded, or undefined to encode it. */
  readonly interruption: (batch: readonly P[]) => InterruptedError | undefined;
}

export interface EncodedBatch<P> extends Omit<DecodedBatch<P>, 'pixels'> {
  /** images × grid² */
  readonly codes: Uint16Array;
}

/** The same codec on each device. */
export type Codecs = OfDevices<DvaeCodec>;

/**
 * Encodes each batch of images, with progress in images and images/s.
 * @throws DataError when too many images are at fault, or the codes do not fit in 16 bits; what `interruption` returns
 */
export async function* encodeImages<P extends ImageFile>(
  codecs: Codecs,
  batches: Iterable<readonly P[]> | AsyncIterable<readonly P[]>,
  { faults, total, done = 0, interruption, progress, signal }: EncodeOptions<P>,
): AsyncGenerator<EncodedBatch<P>, void> {
  const [{ config, grid }] = codecs;
  assertCodesFit(codecs[0]);
  const decoded = decodeBatches(batches, { size: config.imageSize, grid }, faults);
  const start = performance.now();
  let encoded = 0;
  progress.start('tokenizing', total, done);
  try {
    const encodings = spread(codecs, decoded, async (codec, { all, images, pixels }) => {
      const error = signal.aborted ? interruption(all) : undefined;
      if (error) throw error;
      return { all, images, codes: Uint16Array.from(images.length > 0 ? await codec.encode(pixels) : []) };
    });
    for await (const batch of encodings) {
      encoded += batch.all.length;
      const rate = (encoded * 1000) / (performance.now() - start);
      progress.update(done + encoded, { 'images/s': rate.toFixed(1) });
      yield batch;
    }
  } finally {
    progress.stop();
  }
}

/** Throws DataError when the codes of a dVAE do not fit in 16 bits. */
export function assertCodesFit({ config: { vocabulary } }: DvaeCodec, where?: string): void {
  if (vocabulary <= MAX_VOCABULARY) return;
  throw new DataError(`a vocabulary of ${vocabulary} codes does not fit in 16 bits`, {
    code: 'E_VOCABULARY_TOO_LARGE',
    ...(where !== undefined && { where }),
    fix: `use a dVAE with at most ${MAX_VOCABULARY} codes`,
  });
}
