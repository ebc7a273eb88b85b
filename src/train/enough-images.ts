// A check that runs on captioned images share.

import { counted } from '../util/counted.ts';
import { DataError } from '../util/errors.ts';

/** Throws DataError when the captioned images to train on do not fill a batch. */
export function assertEnoughImages(count: number, batch: number, where: string): void {
  if (count >= batch) return;
  throw new DataError(`${counted(count, 'captioned image')} to train on, fewer than one batch of ${batch}`, {
    code: 'E_TOO_FEW_IMAGES',
    where,
    fix: 'add images, hold fewer out (data.validation), or lower train.batch',
  });
}
