// Export of checkpoints to the formats of other programs. Each exporter takes one kind of model; names and layouts are
// the rules of convert/, read the other way (convert/inverse.ts).

import { stat } from 'node:fs/promises';
import { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { readCheckpoint } from '../checkpoint/read.ts';
import { DataError, UsageError } from '../util/errors.ts';
import { clipToDallePytorch } from './clip/dalle-pytorch.ts';
import { clipToOpenClip } from './clip/open-clip.ts';
import { clipToOpenai } from './clip/openai.ts';
import { clipToTransformers } from './clip/transformers.ts';
import { dalleToDallePytorch } from './dalle/dalle-pytorch.ts';
import { dvaeToDallePytorch } from './dvae/dalle-pytorch.ts';
import { dvaeToOpenai } from './dvae/openai.ts';
import { type Exporter, writeExported } from './format.ts';
import type { ExportFormat } from './formats.ts';
import { ExportModel, type WeightsChoice } from './model.ts';
import { clipToSavedModel, dvaeToSavedModel } from './saved-model/saved-model.ts';
import { tokenizerExporters, tokenizerFile } from './tokenizer.ts';
import { vqganToDiffusers } from './vqgan/diffusers.ts';
import { vqganToTaming } from './vqgan/taming.ts';

/** Several of one format and kind are of different architectures. */
export const EXPORTERS: readonly Exporter[] = [
  clipToTransformers,
  clipToOpenClip,
  clipToOpenai,
  clipToDallePytorch,
  dvaeToOpenai,
  dvaeToDallePytorch,
  vqganToTaming,
  vqganToDiffusers,
  dalleToDallePytorch,
  clipToSavedModel,
  dvaeToSavedModel,
  ...tokenizerExporters,
];

export interface ExportOptions {
  readonly to: ExportFormat;
  /** The file or folder to write, which must not exist. */
  readonly out: string;
  readonly weights?: WeightsChoice | undefined;
  /** Whether a tokenizer is written without the cleaning of texts that its format does not have. */
  readonly withoutCleaning?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each damaged checkpoint of a run folder that is skipped. */
  readonly warn: (message: string) => void;
}

export interface ExportResult {
  readonly what: string;
  readonly notes: readonly string[];
}

/**
 * Exports a checkpoint, the newest one of a run, or for `tokenizer` a tokenizer's file.
 * @throws DataError when the format has no place for a part of the model
 * @throws UsageError when `out` exists
 * @throws InterruptedError when the signal is aborted; nothing is written
 */
export async function exportModel(from: string, options: ExportOptions): Promise<ExportResult> {
  const { to, out, weights = 'best', withoutCleaning = false, signal, warn } = options;
  await assertFree(out);
  if (to === 'tokenizer' && (await stat(from).catch(() => undefined))?.isFile()) {
    const exported = await tokenizerFile(from, from, withoutCleaning);
    await writeExported(out, exported);
    return { what: exported.what, notes: [] };
  }
  const checkpoint = await readCheckpoint(from, { warn });
  const model = new ExportModel(checkpoint, { weights, withoutCleaning, signal, out });
  try {
    const exported = await exporterOf(checkpoint, to).export(model);
    await writeExported(out, exported);
    return { what: exported.what, notes: model.notes };
  } finally {
    await model.close();
  }
}

/** @throws DataError E_EXPORT_UNSUPPORTED naming the formats for such a model, where this is none of them */
function exporterOf(checkpoint: Checkpoint, to: ExportFormat): Exporter {
  const { state, path } = checkpoint;
  const schema = z.looseObject({ model: z.looseObject({ architecture: z.string().optional() }) });
  // The joint Transformer has no such key.
  const of = checkpoint.config(schema).model.architecture ?? state.kind;
  const able = EXPORTERS.filter(({ kind, architecture = of }) => kind === state.kind && architecture === of);
  const exporter = able.find(({ format }) => format === to);
  if (exporter) return exporter;
  throw new DataError(`${to} has no place for a ${state.kind} of architecture ${of}`, {
    code: 'E_EXPORT_UNSUPPORTED',
    where: path,
    fix: `give as \`to\` one of ${able.map(({ format }) => format).join(', ')}`,
  });
}

/** @throws UsageError where something stands in the place of the output */
async function assertFree(out: string): Promise<void> {
  const stats = await stat(out).catch(() => undefined);
  if (!stats) return;
  throw new UsageError(`there is a ${stats.isDirectory() ? 'folder' : 'file'} of this name`, {
    code: 'E_OUT_EXISTS',
    option: 'out',
    where: out,
    fix: 'give `out` a new name, or remove what is there',
  });
}
