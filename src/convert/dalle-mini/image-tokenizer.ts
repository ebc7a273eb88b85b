// The image tokenizer of a DALL·E mini: among its files, or a checkpoint that was converted before.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../checkpoint/read.ts';
import { type DvaeModelConfig, dvaeCheckpointSchema } from '../../config/dvae.ts';
import { imageTokenizer } from '../../models/dvae/architecture.ts';
import { UsageError } from '../../util/errors.ts';
import type { Converted, ConvertOptions } from '../external.ts';
import { unusable } from './weights.ts';

/** The image tokenizer, as one to convert or as a checkpoint, and its codes. */
export interface ImageTokenizerPart {
  readonly dvae?: Converted;
  readonly included?: Checkpoint;
  readonly vocabulary: number;
}

/**
 * @param found among the files
 * @throws UsageError E_DVAE_MISSING, DataError when it does not fit the model
 */
export async function imageTokenizerOf(
  found: Converted | undefined,
  { grid, imageClasses }: { readonly grid: number; readonly imageClasses: number },
  { dvae: given }: ConvertOptions,
  { where, notes }: { readonly where: string; readonly notes: string[] },
): Promise<ImageTokenizerPart> {
  if (given === undefined && !found)
    throw new UsageError('the image tokenizer is not among the files', {
      code: 'E_DVAE_MISSING',
      option: 'dvae',
      where,
      fix: "put min-dalle's detoker.pt beside them, or convert dalle-mini's VQGAN first and name its checkpoint with `dvae`",
    });
  const included =
    given === undefined
      ? undefined
      : await readCheckpoint(given, { kind: 'dvae', warn: (note) => notes.push(note) });
  if (included && found) notes.push(`detoker.pt is left out, for ${given}`);
  const { model: config } =
    included?.config(dvaeCheckpointSchema) ??
    ((found as Converted).contents.config as { model: DvaeModelConfig });
  const own = imageTokenizer(config).grid;
  if (own !== grid)
    throw unusable(
      `its image tokenizer has ${own} codes on a side, the model ${grid}`,
      given ?? where,
      'name the image tokenizer that the model was trained with',
    );
  const { vocabulary } = config;
  if (vocabulary > imageClasses)
    throw unusable(
      `its image tokenizer has ${vocabulary} codes, the model ${imageClasses} classes`,
      given ?? where,
      'name the image tokenizer that the model was trained with',
    );
  return { vocabulary, ...(included ? { included } : found && { dvae: found }) };
}
