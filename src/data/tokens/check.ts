// Checks that codes belong to a dVAE.

import { DataError } from '../../util/errors.ts';
import type { TokenSet } from './read.ts';

/**
 * Checks that the dVAE with the hash `hash` made the codes: another one would decode them to other images.
 * @param where the checkpoint of the dVAE, for messages
 * @throws DataError naming both hashes
 */
export function assertSameDvae({ dvaeHash }: Pick<TokenSet, 'dvaeHash'>, hash: string, where: string): void {
  if (dvaeHash === hash) return;
  throw new DataError(`the tokens were made with dVAE ${dvaeHash}, and this is dVAE ${hash}`, {
    code: 'E_DVAE_DIFFERS',
    where,
    fix: 'name the dVAE checkpoint that the tokens were made with, or run mm tokenize with this one',
  });
}
