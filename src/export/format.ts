// What the exporters have in common: what they are, and the files that they write.

import { join } from 'node:path';
import { stringify } from 'yaml';
import { type TensorSource, writeSafetensors } from '../checkpoint/safetensors.ts';
import type { DvaeModelConfig } from '../config/dvae.ts';
import type { ModelKind } from '../config/kind.ts';
import { type StateDictToWrite, type TorchValue, writeTorchFile } from '../convert/torch/write.ts';
import { writeFileAtomic, writeFolderAtomic } from '../util/files.ts';
import type { ExportFormat } from './formats.ts';
import type { ExportModel } from './model.ts';

/** Writes a file, given its path. */
export type WriteFile = (path: string) => Promise<void>;

/** What an exporter makes of a model: one file, or a folder of files by name. */
export interface Exported {
  /** The model and what it is written as, for output. */
  readonly what: string;
  readonly file?: WriteFile;
  readonly folder?: Readonly<Record<string, WriteFile | undefined>>;
}

export interface Exporter {
  readonly format: ExportFormat;
  readonly kind: ModelKind;
  /** Of the models it takes; every one without it. */
  readonly architecture?: DvaeModelConfig['architecture'] | 'dalle';
  /** What is written, and the program that opens it, for help and messages. */
  readonly writes: string;
  /** @throws DataError where the format has no place for a part of the model */
  export(model: ExportModel): Promise<Exported>;
}

export const jsonFile =
  (value: unknown): WriteFile =>
  (path) =>
    writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

export const yamlFile =
  (value: unknown): WriteFile =>
  (path) =>
    writeFileAtomic(path, stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 }));

export const textFile =
  (text: string): WriteFile =>
  (path) =>
    writeFileAtomic(path, text);

/** A safetensors file as PyTorch's programs write it. */
export const safetensorsFile =
  (tensors: ReadonlyMap<string, TensorSource>): WriteFile =>
  async (path) =>
    void (await writeSafetensors(path, tensors, { format: 'pt' }));

export const torchFile =
  (value: TorchValue | StateDictToWrite): WriteFile =>
  (path) =>
    writeTorchFile(path, value);

/** Writes what was exported, whole or not at all. */
export async function writeExported(out: string, { file, folder = {} }: Exported): Promise<void> {
  if (file) return file(out);
  await writeFolderAtomic(out, async (temporary) => {
    for (const [name, write] of Object.entries(folder)) await write?.(join(temporary, name));
  });
}
