// state.json: the kind of a checkpoint, where its run stood, and the length and checksums of every other file.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { MODEL_KINDS } from '../config/kind.ts';
import { DataError } from '../util/errors.ts';
import { upgradeMetrics } from './upgrade.ts';

/** Format 1 is upgraded when it is read (upgrade.ts); writers write this one. */
export const FORMAT_VERSION = 2;
export const STATE_FILE = 'state.json';
export const CONFIG_FILE = 'config.yaml';
export const TOKENIZER_FILE = 'tokenizer.json';
/** The dVAE's checkpoint inside a DALL·E checkpoint. */
export const DVAE_FOLDER = 'dvae';
export const DVAE_STATE = `${DVAE_FOLDER}/${STATE_FILE}` as const;

/**
 * Sets of tensors, a file each: the weights, their EMA, the optimizer's state, the residuals that gradient compression
 * keeps for each worker, and tensors of converted files that the model has no place for.
 */
export const PARTS = ['model', 'ema', 'optimizer', 'compression', 'external'] as const;
export type Part = (typeof PARTS)[number];
export const partFile = (part: Part) => `${part}.safetensors` as const;
export const TENSOR_FILES: readonly string[] = PARTS.map(partFile);
/** Files that only continued training needs. */
export const TRAINING_FILES: readonly string[] = [partFile('optimizer'), partFile('compression')];

const FILES = [
  'model.safetensors',
  'ema.safetensors',
  'optimizer.safetensors',
  'compression.safetensors',
  'external.safetensors',
  CONFIG_FILE,
  TOKENIZER_FILE,
  DVAE_STATE,
] as const;
export type FileName = (typeof FILES)[number];

/** See `FileRecord`. Files of tensors had no `crc32` at first; who does not know it compares `sha256`. */
const fileSchema = z.object({
  bytes: z.int().min(0),
  sha256: z.string().length(64),
  crc32: z.string().optional(),
});

const formatSchema = z.object({ format: z.literal('mm-checkpoint'), version: z.int().positive() });

const stateSchema = formatSchema.extend({
  kind: z.enum(MODEL_KINDS),
  /** Updates made. */
  step: z.int().min(0),
  seed: z.int().min(0),
  /** Position in the data after the last update; its shape belongs to the data. */
  dataPosition: z.json(),
  /** The last validation metrics; null for values that were not finite. */
  metrics: z.record(z.string(), z.number().nullable()),
  files: z.partialRecord(z.enum(FILES), fileSchema),
});

/** `version` is the one of the folder's files. */
export type CheckpointState = z.output<typeof stateSchema>;

/** A checkpoint that is not whole: half-written, shortened, changed. Another one of the run may be good. */
export class DamagedCheckpointError extends DataError {
  constructor(what: string, where: string, cause?: unknown) {
    super(what, {
      code: 'E_CHECKPOINT_DAMAGED',
      where,
      fix: 'use another checkpoint of the run, or a copy of this one, or train again',
      cause,
    });
  }
}

/**
 * Reads a checkpoint folder's state.json.
 * @throws DamagedCheckpointError when it is missing or not as mm writes it; DataError when a newer mm wrote it
 */
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
  if (format.success && format.data.version > FORMAT_VERSION) {
    throw new DataError(
      `a checkpoint of format ${format.data.version}; this mm reads formats up to ${FORMAT_VERSION}`,
      { code: 'E_NEWER_FORMAT', where, fix: 'use the version of mm that wrote it, or a newer one' },
    );
  }
  const state = stateSchema.safeParse(value);
  if (state.success) return { ...state.data, metrics: upgradeMetrics(state.data.metrics) };
  const issue = state.error.issues[0];
  throw new DamagedCheckpointError(`${issue?.path.join('.')}: ${issue?.message}`, where, state.error);
}
