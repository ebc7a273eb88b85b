// Whether codes belong to a dVAE.

import { DataError } from '../../util/errors.ts';
import type { TokenSet } from './read.ts';

/**
 * Refuses codes that another dVAE made: its images would not be what the codes say.
 * @param hash of the dVAE at hand
 * @param where that dVAE's checkpoint, for messages
 * @throws DataError naming both hashes
 */
export function assertSameDvae({ dvaeHash }: TokenSet, hash: string, where: string): void {
  if (dvaeHash === hash) return;
  throw new DataError(`the tokens were made with dVAE ${dvaeHash}, and this is dVAE ${hash}`, {
    where,
    fix: 'name the dVAE checkpoint that the tokens were made with, or run mm tokenize with this one',
  });
}
