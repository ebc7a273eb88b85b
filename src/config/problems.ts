// All problems of a configuration in one error.

import { type ErrorCode, UsageError } from '../util/errors.ts';

/** A problem and its place: file:line:column, or a flag. */
export interface Problem {
  readonly where: string | undefined;
  readonly what: string;
}

const MAX_SHOWN = 20;

/** Throws the problems as one UsageError; `file` is the place of problems without one. */
export function throwProblems(
  problems: readonly Problem[],
  file: string | undefined,
  { code, fix }: { readonly code: ErrorCode; readonly fix: string },
): never {
  const [first] = problems;
  if (first !== undefined && problems.length === 1) {
    throw new UsageError(first.what, { code, where: first.where ?? file, fix });
  }
  const lines = problems
    .slice(0, MAX_SHOWN)
    .map(({ where = file, what }) => `\n  ${where === undefined ? '' : `${where}: `}${what}`);
  if (problems.length > lines.length) lines.push(`\n  and ${problems.length - lines.length} more`);
  throw new UsageError(`${problems.length} problems in the configuration:${lines.join('')}`, {
    code,
    where: file,
    fix,
  });
}
