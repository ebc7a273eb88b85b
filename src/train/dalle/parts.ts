// The parts that the joint Transformer is trained with: its tokenizer and its dVAE. Their sizes need not be given.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../checkpoint/read.ts';
import type { DalleConfig, GivenDalleConfig } from '../../config/dalle.ts';
import { dalleModelSchema } from '../../config/dalle-model.ts';
import { dvaeCheckpointSchema } from '../../config/dvae.ts';
import { type CodecSize, codecSize } from '../../inference/dvae/codec.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';

export interface DalleParts {
  readonly dvae: Checkpoint;
  readonly tokenizer: Tokenizer;
}

/** Opens the parts that a configuration names. Throws DataError. */
export async function openDalleParts(
  { data }: Pick<GivenDalleConfig, 'data'>,
  warn: (message: string) => void,
): Promise<DalleParts> {
  const dvae = await readCheckpoint(data.dvae, { kind: 'dvae', warn });
  return { dvae, tokenizer: await loadTokenizer(data.tokenizer) };
}

/**
 * The configuration with the sizes that its parts say where it has none; those of the published model for parts that
 * are left out.
 * @throws UsageError when a size that it has contradicts them
 */
export function resolveDalle(given: GivenDalleConfig, { dvae, tokenizer }: Partial<DalleParts>): DalleConfig {
  const { model } = given;
  const size = dvae && codecSize(dvae);
  if (tokenizer) assertVocabularyFits(given, tokenizer);
  if (dvae) assertArchitecture(given, dvae);
  if (size) assertCodecFits(given, size);
  const textVocabulary = model.textVocabulary ?? tokenizer?.idCount;
  const grid = model.grid ?? size?.grid;
  const imageVocabulary = model.imageVocabulary ?? size?.vocabulary;
  // Parsed once more for the order of its keys: a resumed run compares its model with that of the first session.
  return { ...given, model: dalleModelSchema.parse({ ...model, textVocabulary, grid, imageVocabulary }) };
}

/** A vocabulary may have more entries than its tokenizer: ids of padding follow it. */
function assertVocabularyFits({ model, data }: GivenDalleConfig, { idCount }: Tokenizer): void {
  const { textVocabulary } = model;
  if (textVocabulary === undefined || idCount <= textVocabulary) return;
  throw new UsageError(`the tokenizer has ${idCount} entries, model.textVocabulary is ${textVocabulary}`, {
    code: 'E_VOCABULARY_TOO_SMALL',
    where: data.tokenizer,
    fix: `leave out model.textVocabulary, or set it to at least ${idCount}`,
  });
}

function assertCodecFits({ model, data }: GivenDalleConfig, { grid, vocabulary }: CodecSize): void {
  for (const [key, configured, actual] of [
    ['grid', model.grid, grid],
    ['imageVocabulary', model.imageVocabulary, vocabulary],
  ] as const) {
    if (configured === undefined || configured === actual) continue;
    throw new UsageError(`model.${key} is ${configured}, the dVAE's is ${actual}`, {
      code: 'E_DVAE_MISMATCH',
      where: data.dvae,
      fix: `leave out model.${key}, or set it to ${actual}`,
    });
  }
}

function assertArchitecture({ data }: GivenDalleConfig, dvae: Checkpoint): void {
  const { architecture } = dvae.config(dvaeCheckpointSchema).model;
  if (data.dvaeArchitecture === undefined || data.dvaeArchitecture === architecture) return;
  throw new UsageError(`the dVAE is of architecture ${architecture}, not ${data.dvaeArchitecture}`, {
    code: 'E_DVAE_MISMATCH',
    where: data.dvae,
    fix: 'name another dVAE, or leave out data.dvaeArchitecture (`taming`)',
  });
}
