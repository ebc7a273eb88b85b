// What must not change when a run is resumed: its kind, model, seed and optimizer, its tokenizer and dVAE.

import type { z } from 'zod';
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { Recompute } from '../../config/fields.ts';
import { isMap, type ModelKind } from '../../config/kind.ts';
import { loadConfig } from '../../config/load.ts';
import { readRunConfig } from '../../report/run/config.ts';
import { noRunToResume } from '../../report/run/folder.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';

/** A configuration as far as resuming is concerned. */
export interface ResumableConfig {
  readonly model: unknown;
  readonly seed: number;
  /** Where it decides the order of the data. */
  readonly data: { readonly validation: number; readonly shuffle?: unknown };
  /** A resumed run takes it from the run where its configuration has none. */
  readonly train: {
    readonly recompute?: Recompute | undefined;
    /** Other kinds have other moments. */
    readonly optimizer?: { readonly kind?: string | undefined };
  };
}

/**
 * Compares a configuration with that of the run in the folder `run`, which is returned.
 * @throws UsageError when there is no run, or it is of another kind, model, seed, optimizer or order of the data
 */
export async function assertSameRun<C extends ResumableConfig>(
  kind: ModelKind,
  schema: z.ZodType<C>,
  run: string,
  config: C,
): Promise<C> {
  const before = await readRunConfig(run);
  if (!before) throw noRunToResume(run);
  if (before.kind !== kind) {
    throw new UsageError(`the run in the folder is one of mm train-${before.kind}, not of mm train-${kind}`, {
      code: 'E_RUN_KIND',
      where: before.file,
      fix: `name the folder of a run of mm train-${kind}`,
    });
  }
  const stored = loadConfig(schema, { file: before.file, storedAs: kind });
  const { model, seed, data, train } = stored;
  for (const [key, old, now] of [
    ['model', model, config.model],
    ['seed', seed, config.seed],
    ['data.shuffle', data.shuffle, config.data.shuffle],
    ['train.optimizer.kind', train.optimizer?.kind, config.train.optimizer?.kind],
  ] as const) {
    const difference = firstDifference(key, old, now);
    if (difference === undefined) continue;
    throw new UsageError(
      `${difference.key} is ${difference.now}, the run's that is resumed ${difference.old}`,
      {
        code: 'E_RESUME_CONFIG',
        where: before.file,
        fix: `set ${difference.key} to the run's, or start a new run in another folder`,
      },
    );
  }
  return stored;
}

/** The first dotted key whose values differ, with both as JSON. */
function firstDifference(
  key: string,
  old: unknown,
  now: unknown,
): { readonly key: string; readonly old: string; readonly now: string } | undefined {
  const [a, b] = [JSON.stringify(old), JSON.stringify(now)];
  if (a === b) return undefined;
  if (isMap(old) && isMap(now)) {
    for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
      const found = firstDifference(`${key}.${name}`, old[name], now[name]);
      if (found) return found;
    }
  }
  return { key, old: a ?? 'not set', now: b ?? 'not set' };
}

/** Throws UsageError unless a part of the run is the one it started with; `where` names the one given now. */
export function assertSamePart(part: string, isSame: boolean, where: string): void {
  if (isSame) return;
  throw new UsageError(`the run that is resumed has another ${part}`, {
    code: 'E_RESUME_PART',
    where,
    fix: `name the ${part} that the run started with, or start a new run in another folder`,
  });
}

/** Throws UsageError unless the checkpoint carries the same tokenizer: text ids must keep their meaning. */
export async function assertSameTokenizer(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  where: string,
): Promise<void> {
  const carried = await loadTokenizer(checkpoint.tokenizerFile);
  assertSamePart('tokenizer', JSON.stringify(carried) === JSON.stringify(tokenizer), where);
}
