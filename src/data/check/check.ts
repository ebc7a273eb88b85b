// Problems in images and captions that training would meet, found by reading and decoding every file. Memory has counts,
// bounded lists, and a few dozen bytes of each image to find copies; the parts of a source are read one by one.

import { createHash } from 'node:crypto';
import { relative } from 'node:path';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { InterruptedError } from '../../util/errors.ts';
import { prefetch } from '../../util/prefetch.ts';
import { type Progress, SILENT } from '../../util/progress.ts';
import { decodeBuffer } from '../decode.ts';
import { type CaptionedImage, ImageFault } from '../image.ts';
import { readImageFile } from '../read-image.ts';
import type { FindingKind } from '../sources/fault-kinds.ts';
import { Faults, type FindingCount } from '../sources/faults.ts';
import { openSource } from '../sources/open-source.ts';
import { noImages, readStreams } from '../sources/resolve.ts';
import type { TableOptions } from '../sources/source.ts';
import { ImageCheck } from './image-check.ts';
import { HASHED_SIZE, perceptualHash } from './perceptual-hash.ts';
import { asFound, type CheckedData, type ExaminedImage, type SourceFindings } from './report.ts';

/** Images in flight, the awaited one included. */
const PREFETCH = 6;

export interface CheckOptions {
  /** Captions of more tokens count as too long; of more words without a tokenizer, as every word takes at least one. */
  readonly textLength: number;
  /** Path of the tokenizer that counts tokens. */
  readonly tokenizer?: string | undefined;
  readonly table?: TableOptions;
  /** Keeps temporary copies of compressed tars and addresses until the program ends, for a page with their images. */
  readonly keepsCopies?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

async function examine(image: CaptionedImage): Promise<ExaminedImage> {
  try {
    const data = await readImageFile(image);
    const hash = createHash('sha256').update(data).digest();
    // Damage shows at any size.
    const { info, pixels } = await decodeBuffer(data, { size: HASHED_SIZE, crop: 'none' });
    return { image, hash, info, look: perceptualHash(pixels) };
  } catch (error) {
    if (!(error instanceof ImageFault)) throw error;
    return { image, fault: { reason: error.message, kind: error.kind } };
  }
}

/**
 * Reads and decodes every image of a source (sources/resolve.ts).
 * @throws DataError when there is no such source, no image in it or no such tokenizer, or a list is damaged;
 *   InterruptedError
 */
export async function checkData(path: string, options: CheckOptions): Promise<CheckedData> {
  const { textLength, table, keepsCopies = false, progress = SILENT, signal } = options;
  const tokenizer = options.tokenizer === undefined ? undefined : await loadTokenizer(options.tokenizer);
  const { base, parts } = await openSource(path);
  const faults = new Faults();
  const check = new ImageCheck(base, textLength, tokenizer);
  const read = { captions: 'optional', faults, table, signal } as const;
  let part = 0;
  try {
    const several = parts.length > 1;
    if (several) progress.start('checking', parts.length);
    for await (const { total, images, close } of readStreams(parts, read)) {
      if (!several) progress.start('checking', total);
      for await (const examined of prefetch(images, PREFETCH, examine)) {
        if (signal?.aborted)
          throw new InterruptedError('stopped before every file was checked', { code: 'E_INTERRUPTED' });
        await check.add(examined);
        progress.update(several ? part : check.images, several ? { images: `${check.images}` } : {});
      }
      part++;
      if (!keepsCopies) await close();
    }
    if (several) progress.update(part, { images: `${check.images}` });
  } finally {
    progress.stop();
    await check.close();
  }
  if (check.images === 0) throw noImages(path, faults);
  return check.result(path, findingsOf(faults, base));
}

function findingsOf({ counts }: Faults, base: string): SourceFindings {
  const of = (kind: FindingKind): FindingCount =>
    counts.find((count) => count.kind === kind) ?? { kind, count: 0, examples: [] };
  const [orphans, damaged] = [of('orphan-caption'), of('cut-archive')];
  return {
    orphans: { count: orphans.count, first: orphans.examples.map(({ where }) => relative(base, where)) },
    damaged: {
      count: damaged.count,
      first: damaged.examples.map(({ kind, where, reason = '' }) => ({
        ...{ file: relative(base, where), reason, kind },
      })),
    },
    found: counts.map(({ kind, count, examples }) =>
      asFound(
        kind,
        count,
        examples.map(({ where, reason }) => (reason === undefined ? where : `${where}: ${reason}`)),
      ),
    ),
  };
}
