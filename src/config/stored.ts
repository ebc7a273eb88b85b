// Configuration files that mm wrote: config.yaml in run and checkpoint folders, which begins with `kind` and `version`.

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { z } from 'zod';
import { UsageError } from '../util/errors.ts';
import { CONFIG_VERSION, declaredKind, isMap, kindOfConfig, kindOfSchema, type ModelKind } from './kind.ts';
import { upgradeConfig } from './retired.ts';
import type { YamlSource } from './source.ts';

/** One of these is beside every config.yaml of a run and of a checkpoint. */
const NEIGHBOURS = ['metrics.jsonl', 'state.json'];

/** Whether the file is the config.yaml of a run or checkpoint folder; one of version 1 does not say so itself. */
const isStored = (file: string): boolean =>
  basename(file) === 'config.yaml' && NEIGHBOURS.some((name) => existsSync(join(dirname(file), name)));

/**
 * The tree of a configuration file without `kind` and `version`. Files that mm wrote get the keys and values of now; in
 * other files, old ones are left for the schema to reject.
 * @param storedAs the kind of the run or checkpoint that the file belongs to, where it is known
 * @throws UsageError when the file is of another kind than the schema, or of a newer version
 */
export function treeOfFile(
  file: string,
  { value, locate }: YamlSource,
  schema: z.ZodType,
  storedAs: ModelKind | undefined,
): unknown {
  const expected = storedAs ?? kindOfSchema(schema);
  if (expected === undefined || !isMap(value)) return value;
  const declared = declaredKind(value);
  if (declared === undefined && storedAs === undefined && !isStored(file)) return value;
  const { kind: _kind, version: written, ...tree } = value;
  const version = written ?? (declared === undefined ? 1 : CONFIG_VERSION);
  const kind = declared ?? storedAs ?? kindOfConfig(value);
  if (kind !== expected) {
    throw new UsageError(`a configuration of mm train-${kind}, where one of mm train-${expected} is needed`, {
      code: 'E_CONFIG_KIND',
      where: locate(['kind']),
      fix: `use it with mm train-${kind}, or name a configuration of mm train-${expected}`,
    });
  }
  if (version !== 1 && version !== CONFIG_VERSION) {
    throw new UsageError(
      `a configuration of version ${version}; this mm reads versions up to ${CONFIG_VERSION}`,
      {
        code: 'E_CONFIG_VERSION',
        where: locate(['version']),
        fix: 'use the version of mm that wrote it, or a newer one',
      },
    );
  }
  const isByHand = declared !== undefined && written === undefined;
  return isByHand ? tree : upgradeConfig(expected, tree);
}
