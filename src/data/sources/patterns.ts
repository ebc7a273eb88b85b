// Several files named at once: braces as WebDataset has them, and globs.

import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { glob } from 'tinyglobby';
import { DataError, UsageError } from '../../util/errors.ts';

const MAX_NAMES = 1_000_000;

export const isPattern = (path: string): boolean =>
  /\{\d+\.\.\d+\}|\{[^{}]*,[^{}]*\}|[*?]|\[[^\]]+\]/.test(path);

/**
 * The files that a pattern stands for: `{000..012}` counts with the digits it is written with, `{a,b}` is either, and
 * `*`, `?`, `[a-z]` and `**` match what there is, sorted. A file that is called like the pattern is meant itself.
 * @throws UsageError for a range that stands for nothing, DataError when nothing matches
 */
export async function expandPattern(path: string): Promise<string[]> {
  if (!isPattern(path) || existsSync(path)) return [path];
  const names = expandBraces(path);
  if (!/[*?]|\[[^\]]+\]/.test(path)) return names;
  const found = await Promise.all(
    names.map(async (name) => {
      const files = await glob(name.replaceAll('\\', '/'), {
        absolute: isAbsolute(name),
        expandDirectories: false,
        onlyFiles: false,
        followSymbolicLinks: true,
      });
      return files.map((file) => file.replace(/\/$/, '')).sort();
    }),
  );
  if (found.flat().length > 0) return found.flat();
  throw new DataError('no file matches the pattern', {
    code: 'E_NOT_FOUND',
    where: path,
    fix: 'check the pattern, and quote it so that the shell leaves it alone',
  });
}

/** The texts that the braces of `text` stand for. @param path for messages. Throws UsageError. */
export function expandBraces(text: string, path = text): string[] {
  const [whole, body] = /\{(\d+\.\.\d+|[^{}]*,[^{}]*)\}/.exec(text) ?? [];
  if (whole === undefined || body === undefined) return [text];
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(body) ?? [];
  const parts = from === undefined || to === undefined ? body.split(',') : range(from, to, whole, path);
  const names = parts.flatMap((part) =>
    expandBraces(
      text.replace(whole, () => part),
      path,
    ),
  );
  if (names.length > MAX_NAMES) throw badPattern(whole, path);
  return names;
}

function range(from: string, to: string, whole: string, path: string): string[] {
  const count = Number(to) - Number(from) + 1;
  if (count < 1 || count > MAX_NAMES) throw badPattern(whole, path);
  return Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, '0'));
}

const badPattern = (whole: string, where: string): UsageError =>
  new UsageError(`${whole} stands for no archives, or too many`, {
    code: 'E_BAD_PATTERN',
    where,
    fix: 'count upwards: {000..012}',
  });
