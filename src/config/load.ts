// A configuration from its file, `--set` and flags, each overriding the ones before, checked against its schema.

import { stringify } from 'yaml';
import type { z } from 'zod';
import { type Explanation, explain, inputSchema } from './explain.ts';
import { CONFIG_VERSION, type ModelKind } from './kind.ts';
import { type Problem, throwProblems } from './problems.ts';
import { applyOverride, flagOverrides, type Override, parseSet } from './set.ts';
import { type Path, readYaml, type YamlSource } from './source.ts';
import { treeOfFile } from './stored.ts';

export interface ConfigSource {
  /** YAML file; without it everything comes from `set`, `flags` and the defaults. */
  readonly file?: string | undefined;
  /** Each `path.to.key=value`, with the value in YAML; overrides the file. */
  readonly set?: readonly string[] | undefined;
  /** Values by dotted key; override `set` and the file; undefined values are skipped. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** The kind of the run or checkpoint that the file belongs to, where it is known. */
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
 * Loads and validates a configuration, defaults filled in.
 * @throws UsageError that lists every problem with its file:line:column or flag, what was expected and received
 */
export function loadConfig<S extends z.ZodType>(schema: S, source: ConfigSource): z.output<S> {
  const { file, storedAs } = source;
  const yaml = file === undefined ? undefined : readYaml(file);
  const overrides = [...(source.set ?? []).map(parseSet), ...flagOverrides(source.flags ?? {})];
  const tree = overrides.reduce(
    applyOverride,
    file !== undefined && yaml ? treeOfFile(file, yaml, schema, storedAs) : {},
  );
  const result = schema.safeParse(tree);
  if (result.success) return result.data;
  const root = inputSchema(schema);
  const problems: Problem[] = result.error.issues
    .flatMap((issue) => explain(issue, root, tree))
    .map((explanation) => ({ where: locate(explanation, overrides, yaml), what: explanation.what }));
  return throwProblems(problems, file, {
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
