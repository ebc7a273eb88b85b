// A run folder's config.yaml: the kind of the run and its resolved configuration.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { RunCheckpoints } from '../../checkpoint/run-checkpoints.ts';
import { readState } from '../../checkpoint/state.ts';
import { declaredKind, isMap, kindOfConfig, type ModelKind } from '../../config/kind.ts';
import { DataError } from '../../util/errors.ts';

export const CONFIG_FILE = 'config.yaml';

export interface RunConfig {
  readonly kind: ModelKind;
  readonly file: string;
  /** The file's text. */
  readonly text: string;
  /** The configuration as it is in the file. */
  readonly tree: Readonly<Record<string, unknown>>;
}

/**
 * Reads the configuration of the run in the folder `run`; undefined when there is no config.yaml. One of version 1 does
 * not say its kind: its checkpoints do, and where there are none, the keys of its model.
 * @throws DataError when config.yaml is not a configuration, or cannot be read
 */
export async function readRunConfig(run: string): Promise<RunConfig | undefined> {
  const file = join(run, CONFIG_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new DataError(message, {
      code: 'E_UNREADABLE',
      where: file,
      fix: 'check the file and its permissions',
      cause: error,
    });
  }
  const tree = parseTree(text);
  if (!isMap(tree?.data)) {
    throw new DataError("not a run's configuration", {
      code: 'E_RUN_CONFIG',
      where: file,
      fix: 'name the folder of a training run',
    });
  }
  const kind = declaredKind(tree) ?? (await kindOfCheckpoints(run)) ?? kindOfConfig(tree);
  return { kind, file, text, tree };
}

function parseTree(text: string): Record<string, unknown> | undefined {
  try {
    const tree: unknown = parse(text);
    return isMap(tree) ? tree : undefined;
  } catch {
    return undefined;
  }
}

/** The kind in the state.json of the newest checkpoint that has a readable one. */
async function kindOfCheckpoints(run: string): Promise<ModelKind | undefined> {
  const checkpoints = new RunCheckpoints(run);
  for (const step of (await checkpoints.steps()).reverse()) {
    const state = await readState(checkpoints.path(step)).catch(() => undefined);
    if (state) return state.kind;
  }
  return undefined;
}
