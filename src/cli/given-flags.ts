// What is wrong with flags, before yargs looks at them: unknown ones, with the known flag that is nearest, and ones that
// are given twice though they say one thing. A misspelt flag that must be there is called misspelt, not missing.

import type { Argv } from 'yargs';
import { UsageError } from '../util/errors.ts';
import { closest } from '../util/suggest.ts';

const HELP = 'mm --help, or mm COMMAND --help, lists what there is';

/** What yargs knows of the flags declared; its types leave `getOptions` out. */
interface Declared {
  readonly key: Readonly<Record<string, unknown>>;
  readonly alias: Readonly<Record<string, readonly string[]>>;
  readonly array: readonly string[];
}

/** yargs' names for what it finds on a command line besides flags. */
const NO_FLAGS = ['_', '--', '$0'];

const camelCase = (flag: string): string =>
  flag.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

const dashed = (name: string): string => `${name.length === 1 ? '-' : '--'}${name}`;

/**
 * Refuses flags that the command does not have, and those given twice of which neither is what is meant for certain.
 * @param given what yargs read, by every name of each flag
 * @param positionals as yargs has them: `<images..>`
 * @throws UsageError
 */
export function checkGiven(
  given: Readonly<Record<string, unknown>>,
  yargs: Argv,
  positionals: string | undefined,
): void {
  const { key, alias, array } = (yargs as Argv & { getOptions(): Declared }).getOptions();
  const names = [...Object.keys(key), ...Object.values(alias).flat()];
  const places = [...(positionals ?? '').matchAll(/[<[]([\w-]+)/g)].map(([, name]) => name as string);
  const known = new Set([...names, ...names.map(camelCase), ...places, ...NO_FLAGS]);
  const unknown = Object.keys(given).filter((name) => !known.has(name));
  // yargs reads a flag with dashes under its JavaScript name too.
  const written = unknown.filter(
    (name) => !unknown.some((other) => other !== name && camelCase(other) === name),
  );
  const [first] = written;
  if (first !== undefined) {
    const near = closest(
      first,
      names.filter((name) => name.length > 1),
    );
    throw new UsageError(`there is no flag ${dashed(first)}`, {
      where: written.map(dashed).join(' '),
      fix: near === undefined ? HELP : `did you mean --${near}?`,
    });
  }
  for (const name of Object.keys(key)) {
    const value = given[name];
    if (!Array.isArray(value) || array.includes(name)) continue;
    throw new UsageError(`--${name} is given ${value.length} times: ${value.join(', ')}`, {
      where: `--${name}`,
      fix: 'give it once',
    });
  }
}

/** yargs' message about a command line as an error for users. */
export function misused(message: string): UsageError {
  // Flags are known by now: these are words.
  const [, word] = /^Unknown arguments?: ([^,]*)/.exec(message) ?? [];
  if (word === undefined) return new UsageError(message, { fix: HELP });
  return new UsageError(`nothing is expected where ${JSON.stringify(word)} stands`, {
    where: word,
    fix: 'put text with spaces in quotes; mm COMMAND --help lists the flags',
  });
}
