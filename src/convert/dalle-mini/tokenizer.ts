// The tokenizer of a DALL·E mini: min-dalle's own reading of vocab.json and merges.txt, or dalle-mini's tokenizer.json.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DalleMiniConfig } from '../../config/dalle-mini.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import { MinDalleTokenizer } from '../../tokenizers/min-dalle.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';
import { readError } from '../../util/files.ts';
import type { ConvertOptions, ExternalFiles } from '../external.ts';
import { unusable } from './weights.ts';

const missing = (what: string, { where }: ExternalFiles, fix: string): UsageError =>
  new UsageError(`the model's ${what} is not among the files`, {
    code: 'E_TOKENIZER_MISSING',
    option: 'tokenizer',
    where,
    fix,
  });

function fitting(tokenizer: Tokenizer, { textVocabulary }: DalleMiniConfig, where: string): Tokenizer {
  if (tokenizer.idCount <= textVocabulary) return tokenizer;
  throw unusable(
    `the tokenizer has ${tokenizer.idCount} ids, the model ${textVocabulary}`,
    where,
    'give the tokenizer that the model was trained with',
  );
}

const textOf = (path: string): Promise<string> =>
  readFile(path, 'utf8').catch((cause: unknown) => {
    throw readError(cause, path, 'tokenizer');
  });

/**
 * min-dalle's tokenizer: vocab.json and merges.txt, which the option names by the first of them.
 * @throws UsageError E_TOKENIZER_MISSING, DataError when it cannot be read or does not fit
 */
export async function minDalleTokenizer(
  files: ExternalFiles,
  { tokenizer: given }: ConvertOptions,
  model: DalleMiniConfig,
): Promise<Tokenizer> {
  const vocabulary = given ?? files.named('vocab.json');
  const merges = given === undefined ? files.named('merges.txt') : join(dirname(given), 'merges.txt');
  if (vocabulary === undefined || merges === undefined)
    throw missing(
      vocabulary === undefined ? 'vocab.json' : 'merges.txt',
      files,
      'put vocab.json and merges.txt of min-dalle beside the weights (vocab_mini.json and merges_mini.txt renamed)',
    );
  return fitting(
    MinDalleTokenizer.fromFiles(await textOf(vocabulary), await textOf(merges), vocabulary),
    model,
    vocabulary,
  );
}

/** dalle-mini's tokenizer. @throws UsageError E_TOKENIZER_MISSING, DataError when it cannot be read or does not fit */
export async function flaxTokenizer(
  files: ExternalFiles,
  { tokenizer: given }: ConvertOptions,
  model: DalleMiniConfig,
): Promise<Tokenizer> {
  const path = given ?? files.named('tokenizer.json');
  if (path === undefined)
    throw missing('tokenizer.json', files, 'put it beside the weights, or name it with `tokenizer`');
  return fitting(await loadTokenizer(path), model, path);
}
