// A checkpoint to export: its weights in the type in which they are stored, each read when its turn to be written comes,
// and what the files that it came from said.

import { z } from 'zod';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { matchTensors } from '../checkpoint/match.ts';
import type { SafetensorsFile, TensorSource } from '../checkpoint/safetensors.ts';
import type { Part } from '../checkpoint/state.ts';
import { stoppable } from '../checkpoint/stoppable.ts';
import { type Origin, originIn } from '../convert/origin.ts';
import { flatten, type SpecTree } from '../nn/parameters.ts';
import { loadTokenizer } from '../tokenizers/load.ts';
import type { Tokenizer } from '../tokenizers/tokenizer.ts';
import { DataError } from '../util/errors.ts';
import type { ExportFormat } from './formats.ts';

/** Which weights: those that the other commands use, the EMA where there is one, or the last ones. */
export type WeightsChoice = 'best' | 'last';

export interface ModelOptions {
  readonly weights: WeightsChoice;
  readonly withoutCleaning: boolean;
  readonly signal: AbortSignal | undefined;
  /** What is written, for messages. */
  readonly out: string;
}

export class ExportModel {
  readonly checkpoint: Checkpoint;
  readonly options: ModelOptions;
  /** What is left out or replaced, for output. */
  readonly notes: string[] = [];
  readonly #opened: SafetensorsFile[] = [];

  constructor(checkpoint: Checkpoint, options: ModelOptions) {
    this.checkpoint = checkpoint;
    this.options = options;
  }

  get where(): string {
    return this.checkpoint.path;
  }

  get part(): Part {
    return this.options.weights === 'best' ? this.checkpoint.bestPart : 'model';
  }

  /** What the files of `format` said that the model was converted from; undefined for a model of anything else. */
  origin(format: ExportFormat): Origin | undefined {
    const origin = originIn(this.checkpoint.config(z.record(z.string(), z.unknown())));
    return origin?.format === format ? origin : undefined;
  }

  /** The model's section of the configuration. */
  config<S extends z.ZodType>(schema: S): z.output<S> {
    return (this.checkpoint.config(z.looseObject({ model: schema })) as { model: z.output<S> }).model;
  }

  /** The weights by our names. Throws DataError where they do not fit the configuration. */
  async tensors(spec: SpecTree): Promise<Map<string, TensorSource>> {
    const tensors = await this.#sources(this.part);
    matchTensors(tensors, flatten(spec), this.where);
    return tensors;
  }

  /** Tensors of the converted files that the model has no place for, by their names there. */
  async external(format: ExportFormat): Promise<Map<string, TensorSource>> {
    const isThere = this.origin(format) !== undefined && this.checkpoint.has('external');
    return isThere ? this.#sources('external') : new Map();
  }

  async tokenizer(): Promise<Tokenizer> {
    return loadTokenizer(this.checkpoint.tokenizerFile);
  }

  /** The dVAE of a DALL·E. The model's `close` closes it. */
  async dvae(): Promise<ExportModel> {
    const inner = new ExportModel(await this.checkpoint.dvae(), this.options);
    this.#inner.push(inner);
    return inner;
  }
  readonly #inner: ExportModel[] = [];

  /** The DataError for a part of the model that a format has no place for. */
  unsupported(what: string, fix: string): DataError {
    return new DataError(what, { code: 'E_EXPORT_UNSUPPORTED', where: this.where, fix });
  }

  async #sources(part: Part): Promise<Map<string, TensorSource>> {
    const file = await this.checkpoint.file(part);
    this.#opened.push(file);
    const { signal, out } = this.options;
    return new Map(
      file.names.map((name) => {
        const { dtype, shape } = file.info(name);
        const source = { dtype, shape, data: async () => (await file.read(name)).data };
        return [name, stoppable(source, signal, 'nothing was written', out)];
      }),
    );
  }

  async close(): Promise<void> {
    for (const inner of this.#inner) await inner.close();
    for (const file of this.#opened) await file.close();
  }
}
