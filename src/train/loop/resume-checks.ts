// What a run is made of besides its weights has to mean what it meant when the run began.

import { Checkpoint } from '../../checkpoint/read.ts';
import { readState } from '../../checkpoint/state.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';

/** The parts that a checkpoint at `path` carries; its weights are verified elsewhere. */
export const openCarriedParts = async (path: string): Promise<Checkpoint> =>
  new Checkpoint(path, await readState(path));

/** Throws UsageError unless the run's part is the one at hand, which comes from `where`. */
export function assertSamePart(part: string, isSame: boolean, where: string): void {
  if (isSame) return;
  throw new UsageError(`the run that is resumed has another ${part}`, {
    where,
    fix: `name the ${part} that the run began with, or begin a new run in another folder`,
  });
}

/** Throws UsageError unless text ids mean what they mean in the checkpoint. */
export async function assertSameTokenizer(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  where: string,
): Promise<void> {
  const carried = await loadTokenizer(checkpoint.tokenizerFile);
  assertSamePart('tokenizer', JSON.stringify(carried) === JSON.stringify(tokenizer), where);
}
