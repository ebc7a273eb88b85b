// A tokenizer as a tokenizer.json of Hugging Face's programs: of a checkpoint, or of a file of any kind that mm reads.

import { huggingFaceJson } from '../tokenizers/hugging-face/written.ts';
import { loadTokenizer } from '../tokenizers/load.ts';
import { type Exported, type Exporter, jsonFile } from './format.ts';
import type { ExportModel } from './model.ts';

/** @throws DataError E_TOKENIZER_UNWRITABLE where the format cannot give the same ids */
export async function tokenizerFile(
  path: string,
  where: string,
  withoutCleaning: boolean,
): Promise<Exported> {
  const json = huggingFaceJson(await loadTokenizer(path), { where, withoutCleaning });
  return { what: 'a tokenizer.json', file: jsonFile(json) };
}

const ofModel = (kind: Exporter['kind']): Exporter => ({
  format: 'tokenizer',
  kind,
  writes: 'a tokenizer, of a checkpoint or a file of any kind, as tokenizer.json',
  export: ({ checkpoint, where, options }: ExportModel) =>
    tokenizerFile(checkpoint.tokenizerFile, where, options.withoutCleaning),
});

export const tokenizerExporters: readonly Exporter[] = [ofModel('clip'), ofModel('dalle')];
