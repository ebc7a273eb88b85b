// state.json: what a checkpoint is of, where its run stood, and the length and hash of every other file.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../util/errors.ts';

export const MODEL_KINDS = ['dvae', 'dalle', 'clip'] as const;
export type ModelKind = (typeof MODEL_KINDS)[number];

/** Raised when a reader of the version before would misread what is written now. */
export const FORMAT_VERSION = 1;
export const STATE_FILE = 'state.json';
export const CONFIG_FILE = 'config.yaml';
export const TOKENIZER_FILE = 'tokenizer.json';
/** A DALL·E checkpoint carries its dVAE's. */
export const DVAE_FOLDER = 'dvae';
export const DVAE_STATE = `${DVAE_FOLDER}/${STATE_FILE}` as const;

/**
 * Sets of tensors: the weights, their running average, what the optimizer keeps for each, and what compression has kept
 * back of the gradients of each worker.
 */
export const PARTS = ['model', 'ema', 'optimizer', 'compression'] as const;
export type Part = (typeof PARTS)[number];
export const partFile = (part: Part) => `${part}.safetensors` as const;
/** Files that only going on with the training needs. */
export const TRAINING_FILES: readonly string[] = [partFile('optimizer'), partFile('compression')];

const FILES = [
  'model.safetensors',
  'ema.safetensors',
  'optimizer.safetensors',
  'compression.safetensors',
  CONFIG_FILE,
  TOKENIZER_FILE,
  DVAE_STATE,
] as const;
export type FileName = (typeof FILES)[number];

const formatSchema = z.object({ format: z.literal('mm-checkpoint'), version: z.int().positive() });

const stateSchema = formatSchema.extend({
  kind: z.enum(MODEL_KINDS),
  /** Updates made. */
  step: z.int().min(0),
  seed: z.int().min(0),
  /** Where the data goes on, in the words of the data's owner. */
  dataPosition: z.json(),
  /** The last figures; null for those that were not finite. */
  metrics: z.record(z.string(), z.number().nullable()),
  files: z.partialRecord(z.enum(FILES), z.object({ bytes: z.int().min(0), sha256: z.string().length(64) })),
});

export type CheckpointState = z.output<typeof stateSchema>;

/** A checkpoint that is not whole: half-written, shortened, changed. Another one of the run may be good. */
export class DamagedCheckpointError extends DataError {
  constructor(what: string, where: string, cause?: unknown) {
    super(what, {
      where,
      fix: 'use another checkpoint of the run, or a copy of this one, or train again',
      cause,
    });
  }
}

/** Reads a checkpoint folder's state.json. Throws DataError. */
export async function readState(folder: string): Promise<CheckpointState> {
  const where = join(folder, STATE_FILE);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(where, 'utf8'));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const what = missing ? 'is missing, so the checkpoint was written only in part' : 'cannot be read';
    throw new DamagedCheckpointError(`${STATE_FILE} ${what}`, folder, cause);
  }
  const format = formatSchema.safeParse(value);
  if (format.success && format.data.version !== FORMAT_VERSION) {
    throw new DataError(
      `a checkpoint of format ${format.data.version}; this mm reads format ${FORMAT_VERSION}`,
      {
        where,
        fix: 'use the version of mm that wrote it, or a newer one',
      },
    );
  }
  const state = stateSchema.safeParse(value);
  if (state.success) return state.data;
  const issue = state.error.issues[0];
  throw new DamagedCheckpointError(`${issue?.path.join('.')}: ${issue?.message}`, where, state.error);
}
