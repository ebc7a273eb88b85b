// The sizes that a planned configuration leaves to its tokenizer and its dVAE. A plan can be made before there are any.

import { readCheckpoint } from '../../checkpoint/read.ts';
import type { ClipConfig, GivenClipConfig } from '../../config/clip.ts';
import type { DalleConfig, GivenDalleConfig } from '../../config/dalle.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { DataError } from '../../util/errors.ts';
import { resolveClip } from '../clip/resolve.ts';
import { resolveDalle } from '../dalle/parts.ts';

export interface Planned<Config> {
  readonly config: Config;
  /** Sizes that nothing says, a line each: those of the published model are counted. */
  readonly assumed: readonly string[];
}

const MISSING: ReadonlySet<string> = new Set(['E_NOT_FOUND', 'E_CHECKPOINT_NOT_FOUND', 'E_NO_CHECKPOINT']);

/** The opened part; undefined when it is not there. */
async function unlessMissing<Part>(part: Promise<Part>): Promise<Part | undefined> {
  try {
    return await part;
  } catch (error) {
    if (error instanceof DataError && MISSING.has(error.code)) return undefined;
    throw error;
  }
}

const assumption = (key: string, size: number, part: string, path: string): string =>
  `model.${key} is not given, and there is no ${part} ${path} yet: counted as published, ${size}`;

/** Throws UsageError, DataError when a part contradicts the configuration or is damaged. */
export async function plannedDalle(given: GivenDalleConfig): Promise<Planned<DalleConfig>> {
  const { data } = given;
  const dvae = await unlessMissing(readCheckpoint(data.dvae, { kind: 'dvae', warn: () => {} }));
  const tokenizer = await unlessMissing(loadTokenizer(data.tokenizer));
  const config = resolveDalle(given, { dvae, tokenizer });
  const keys = [
    ...(tokenizer ? [] : [['textVocabulary', 'tokenizer', data.tokenizer] as const]),
    ...(dvae ? [] : (['grid', 'imageVocabulary'] as const).map((key) => [key, 'dVAE', data.dvae] as const)),
  ];
  const assumed = keys.flatMap(([key, part, path]) =>
    given.model[key] === undefined ? [assumption(key, config.model[key], part, path)] : [],
  );
  return { config, assumed };
}

/** Throws UsageError, DataError when the tokenizer contradicts the configuration or is damaged. */
export async function plannedClip(given: GivenClipConfig): Promise<Planned<ClipConfig>> {
  const path = given.data.tokenizer;
  const tokenizer = await unlessMissing(loadTokenizer(path));
  const config = resolveClip(given, tokenizer);
  const { vocabulary } = config.model.text;
  const isAssumed = !tokenizer && given.model.text.vocabulary === undefined;
  return {
    config,
    assumed: isAssumed ? [assumption('text.vocabulary', vocabulary, 'tokenizer', path)] : [],
  };
}
