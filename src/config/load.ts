// A configuration from its file, `--set` and flags, each overriding the ones before, checked against its schema.

import { stringify } from 'yaml';
import type { z } from 'zod';
import { UsageError } from '../util/errors.ts';
import { type Explanation, explain, inputSchema } from './explain.ts';
import { CONFIG_VERSION, declaredKind, isMap, kindOfSchema, type ModelKind } from './kind.ts';
import { type Problem, throwProblems } from './problems.ts';
import { upgradeConfig } from './retired.ts';
import { applyOverride, flagOverrides, type Override, parseSet } from './set.ts';
import { type Path, readYaml, type YamlSource } from './source.ts';

export interface ConfigSource {
  /** YAML file; without it everything comes from `set`, `flags` and the defaults. */
  readonly file?: string | undefined;
  /** Each `path.to.key=value`, with the value in YAML; overrides the file. */
  readonly set?: readonly string[] | undefined;
  /** Values by dotted key; override `set` and the file; undefined values are skipped. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** The file is a config.yaml of a run or checkpoint folder of this kind; without a `version`, its version is 1. */
  readonly storedAs?: ModelKind | undefined;
}

/** The number of keys that two paths have in common from the root. */
function sharedDepth(a: Path, b: Path): number {
  const differs = a.findIndex((key, i) => i >= b.length || String(key) !== String(b[i]));
  return differs < 0 ? a.length : differs;
}

/** The place of a finding: the override, or the line and column, that has most of its path. */
function locate(
  { path, isKey }: Explanation,
  overrides: readonly Override[],
  yaml: YamlSource | undefined,
): string | undefined {
  const depth = yaml?.depth(path) ?? 0;
  const override = overrides.findLast((candidate) => {
    const shared = sharedDepth(path, candidate.path);
    const related = shared === Math.min(path.length, candidate.path.length);
    return shared > 0 && (shared > depth || (related && shared === depth));
  });
  return override?.origin ?? (isKey ? yaml?.locateKey(path) : yaml?.locate(path));
}

/**
 * The file's tree without `kind` and `version`, which files that mm wrote begin with, in the keys of this version.
 * @throws UsageError when the file is of another kind than the schema, or of a newer version
 */
function fileTree(
  { value, locate }: YamlSource,
  schema: z.ZodType,
  storedAs: ModelKind | undefined,
): unknown {
  const expected = storedAs ?? kindOfSchema(schema);
  if (expected === undefined || !isMap(value)) return value;
  const kind = declaredKind(value);
  if (kind === undefined && !storedAs) return value;
  const { kind: _kind, version = storedAs ? 1 : CONFIG_VERSION, ...tree } = value;
  if (kind !== undefined && kind !== expected) {
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
  return version === 1 ? upgradeConfig(expected, tree) : tree;
}

/**
 * Loads and validates a configuration, defaults filled in.
 * @throws UsageError that lists every problem with its file:line:column or flag, what was expected and received
 */
export function loadConfig<S extends z.ZodType>(schema: S, source: ConfigSource): z.output<S> {
  const yaml = source.file === undefined ? undefined : readYaml(source.file);
  const overrides = [...(source.set ?? []).map(parseSet), ...flagOverrides(source.flags ?? {})];
  const tree = overrides.reduce(applyOverride, yaml ? fileTree(yaml, schema, source.storedAs) : {});
  const result = schema.safeParse(tree);
  if (result.success) return result.data;
  const root = inputSchema(schema);
  const problems: Problem[] = result.error.issues
    .flatMap((issue) => explain(issue, root, tree))
    .map((explanation) => ({ where: locate(explanation, overrides, yaml), what: explanation.what }));
  return throwProblems(problems, source.file, {
    code: 'E_CONFIG_INVALID',
    fix: "docs/CONFIG.md in mm's folder lists every key, its type and its default",
  });
}

/** The configuration as YAML; loading it gives the same values. */
export function dumpConfig(config: unknown): string {
  return stringify(config, { aliasDuplicateObjects: false, lineWidth: 0 });
}

/** The text of config.yaml in run and checkpoint folders: `kind` and `version`, then the resolved configuration. */
export function dumpStoredConfig(kind: ModelKind, config: object): string {
  return dumpConfig({ kind, version: CONFIG_VERSION, ...config });
}
