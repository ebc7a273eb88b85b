// The checkpoints of a run folder: `checkpoints/step-N/`, newest first.

import { existsSync, readdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type CheckpointState, DamagedCheckpointError } from './state.ts';
import { verifyCheckpoint } from './verify.ts';

const FOLDER = 'checkpoints';

/** Where the checkpoint of a step goes. */
export const checkpointPath = (runFolder: string, step: number): string =>
  join(runFolder, FOLDER, `step-${step}`);

export type Warn = (message: string) => void;

/** Names in the run's checkpoint folder; undefined when there is none. */
async function names(runFolder: string): Promise<string[] | undefined> {
  return readdir(join(runFolder, FOLDER)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}

/** Whether the run has a checkpoint, whole or not. */
export function hasCheckpoint(runFolder: string): boolean {
  const folder = join(runFolder, FOLDER);
  return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('step-'));
}

export async function isRunFolder(path: string): Promise<boolean> {
  return (await names(path)) !== undefined;
}

/** Steps that have a folder, newest first; whether it is whole is not looked at. */
async function steps(runFolder: string): Promise<number[]> {
  return ((await names(runFolder)) ?? [])
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.slice(1).map(Number) ?? [])
    .sort((a, b) => b - a);
}

/** The newest whole checkpoint of a run and its state; damaged ones are passed over with a warning. */
export async function findLatest(
  runFolder: string,
  optimizer: boolean,
  warn: Warn,
): Promise<{ path: string; state: CheckpointState } | undefined> {
  for (const step of await steps(runFolder)) {
    const path = checkpointPath(runFolder, step);
    try {
      return { path, state: await verifyCheckpoint(path, optimizer) };
    } catch (error) {
      if (!(error instanceof DamagedCheckpointError)) throw error;
      warn(`passing over a damaged checkpoint: ${error.message} (${error.where})`);
    }
  }
  return undefined;
}

/** The path of the newest checkpoint a run can go on from, or undefined. */
export async function latestCheckpoint(runFolder: string, warn: Warn): Promise<string | undefined> {
  return (await findLatest(runFolder, true, warn))?.path;
}

/**
 * Removes all but the newest `keep` checkpoints, and what interrupted writes left.
 * `written` is the step just saved: later ones are damaged or of an abandoned continuation, and go too.
 */
export async function pruneCheckpoints(
  runFolder: string,
  keep: number,
  written = Number.POSITIVE_INFINITY,
): Promise<void> {
  const all = await steps(runFolder);
  const kept = new Set(all.filter((step) => step <= written).slice(0, keep));
  const leftovers = ((await names(runFolder)) ?? []).filter((name) => /^\.step-\d+\..*\.tmp$/.test(name));
  const doomed = [
    ...all.filter((step) => !kept.has(step)).map((step) => checkpointPath(runFolder, step)),
    ...leftovers.map((name) => join(runFolder, FOLDER, name)),
  ];
  for (const path of doomed) await rm(path, { recursive: true, force: true });
}
