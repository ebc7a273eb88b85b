// Checks of a command line's flags before and after yargs': unknown flags, with the closest known one; flags given
// twice that take one value; values out of range. yargs' own messages get codes and plain words here.

import type { Argv } from 'yargs';
import { type ErrorCode, UsageError } from '../util/errors.ts';
import { closest } from '../util/suggest.ts';
import { camelCase } from './flag-names.ts';
import { InvalidValue } from './whole-number.ts';

/** The command that a command line names. */
export interface NamedCommand {
  /** With the action of a group: `data check`. Undefined before a command is recognized. */
  readonly name?: string;
  /** In yargs' notation: `<images..>`. */
  readonly positionals?: string | undefined;
}

const helpOf = ({ name }: NamedCommand): string =>
  name === undefined ? 'mm --help lists the commands' : `mm ${name} --help describes the flags`;

/** What yargs knows of the flags declared; its types leave `getOptions` out. */
interface Declared {
  readonly key: Readonly<Record<string, unknown>>;
  readonly alias: Readonly<Record<string, readonly string[]>>;
  readonly array: readonly string[];
}

const declaredFlags = (yargs: Argv): Declared => (yargs as Argv & { getOptions(): Declared }).getOptions();

/** Every flag that is declared so far, by its main name. */
export function flagKeys(yargs: Argv): string[] {
  const { key, alias } = declaredFlags(yargs);
  const aliases = new Set(Object.values(alias).flat());
  return Object.keys(key).filter((name) => !aliases.has(name));
}

/** Lets aliases with underscores, the spelling of other programs, be written with dashes too. */
export function addDashedAliases(yargs: Argv): void {
  const known = flagNames(yargs);
  for (const [name, aliases] of Object.entries(declaredFlags(yargs).alias))
    for (const alias of aliases) {
      const twin = alias.replaceAll('_', '-');
      if (!known.has(twin)) yargs.alias(name, twin);
    }
}

/** Every name of every flag that is declared so far, without dashes. */
export function flagNames(yargs: Argv): Set<string> {
  const { key, alias } = declaredFlags(yargs);
  return new Set([...Object.keys(key), ...Object.values(alias).flat()]);
}

/** What a flag looks like, and a number below 0, which yargs takes for a value. */
const FLAG = /^--?[a-z][\w.-]*(=|$)/i;
const NEGATIVE = /^-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Standard input, alone or before other sources. yargs drops such a word where it is no flag's value. */
const STANDARD_INPUT = /^-(::|$)/;
/** Keeps yargs from seeing the dash; no word of a command line has a zero byte. */
const SHIELD = '\0';

/** Takes away what `withTiedValues` put before words. @param given what yargs read; its values are changed */
export function unshield(given: Record<string, unknown>): void {
  const plain = (value: unknown): unknown =>
    typeof value === 'string' && value.startsWith(SHIELD) ? value.slice(SHIELD.length) : value;
  for (const [name, value] of Object.entries(given))
    given[name] = Array.isArray(value) ? value.map(plain) : plain(value);
}

/**
 * The command line with values that begin with a dash and cannot be flags tied to the flag before them, as yargs needs
 * it: `--prompt`, `-5 degrees` → `--prompt=-5 degrees`.
 */
export function withTiedValues(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const tied: string[] = [];
  for (const [i, word] of argv.entries()) {
    const before = tied.at(-1);
    const isAfterFlag = before?.startsWith('--') === true && FLAG.test(before) && !before.includes('=');
    if (STANDARD_INPUT.test(word)) {
      tied.push(`${SHIELD}${word}`);
      continue;
    }
    const isPlain = !word.startsWith('-') || FLAG.test(word) || NEGATIVE.test(word);
    if (isPlain || !isAfterFlag || (end >= 0 && i >= end)) tied.push(word);
    else tied[tied.length - 1] = `${before}=${word}`;
  }
  return tied;
}

/** yargs' names for what it finds on a command line besides flags. */
const NO_FLAGS = ['_', '--', '$0'];

const dashed = (name: string): string => `${name.length === 1 ? '-' : '--'}${name}`;

/** Names in yargs' notation of positional arguments, `<images..>`. */
export const positionalNames = (positionals: string | undefined): string[] =>
  [...(positionals ?? '').matchAll(/[<[]([\w-]+)/g)].map(([, name]) => name as string);

/**
 * Refuses flags that the command does not have, flags given twice that take one value, and values out of range.
 * Runs before yargs' validation, so that a misspelt flag that is required is called misspelt, not missing.
 * @param given what yargs read, by every name of each flag
 * @throws UsageError
 */
export function checkGiven(
  given: Readonly<Record<string, unknown>>,
  yargs: Argv,
  command: NamedCommand,
): void {
  const { key, array } = declaredFlags(yargs);
  const names = [...flagNames(yargs)];
  const known = new Set([
    ...names,
    ...names.map(camelCase),
    ...positionalNames(command.positionals),
    ...NO_FLAGS,
  ]);
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
      code: 'E_FLAG_UNKNOWN',
      where: written.map(dashed).join(' '),
      fix: near === undefined ? helpOf(command) : `did you mean --${near}?`,
    });
  }
  for (const name of Object.keys(key)) {
    const value = given[name];
    if (!Array.isArray(value) || array.includes(name)) continue;
    throw new UsageError(`--${name} is given ${value.length} times: ${value.join(', ')}`, {
      code: 'E_FLAG_REPEATED',
      option: dashed(name),
      fix: 'give it once',
    });
  }
  for (const value of Object.values(given)) if (value instanceof InvalidValue) throw value.error;
}

/** This program's messages for yargs' `demandCommand`. */
export const NO_COMMAND = 'the command is missing';
export const NO_ACTION = 'the action is missing';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly option?: string;
  readonly where?: string;
  readonly fix?: string;
}

/** yargs' messages, and what they mean for a command. */
const MEANINGS: readonly (readonly [
  pattern: RegExp,
  meaning: (command: NamedCommand, ...groups: string[]) => Meaning,
])[] = [
  [
    new RegExp(`^${NO_COMMAND}$`),
    () => ({ code: 'E_COMMAND_MISSING', message: NO_COMMAND, fix: 'mm --help lists the commands' }),
  ],
  [
    new RegExp(`^${NO_ACTION}$`),
    ({ name }) => ({
      code: 'E_COMMAND_MISSING',
      message: NO_ACTION,
      fix: `mm ${name} --help lists the actions`,
    }),
  ],
  [
    // Flags are known by now: these are words.
    /^Unknown arguments?: ([^,]*)/,
    ({ name }, word) => ({
      code: 'E_ARGUMENT_UNEXPECTED',
      message: `unexpected argument ${JSON.stringify(word)}`,
      where: word,
      fix: `put text with spaces in quotes; mm ${name} --help describes the flags`,
    }),
  ],
  [
    /^Unknown commands?: ([^,]*)/,
    (_, word) => ({ code: 'E_COMMAND_UNKNOWN', message: `there is no command ${word}`, where: word }),
  ],
  [
    /^Did you mean (.*)\?$/,
    ({ name }, near) => ({
      code: 'E_COMMAND_UNKNOWN',
      message: 'there is no such command',
      fix: `did you mean mm ${name === undefined ? '' : `${name} `}${near}?`,
    }),
  ],
  [
    /^Not enough arguments following: (.*)/,
    (_, flag) => ({
      code: 'E_FLAG_VALUE_MISSING',
      message: `${dashed(flag)} needs a value`,
      option: dashed(flag),
    }),
  ],
  [
    /^Missing required arguments?: ([^\n]*)/,
    (_, names) => {
      const flags = names.split(', ').map(dashed);
      const verb = flags.length === 1 ? 'is' : 'are';
      return {
        code: 'E_FLAG_MISSING',
        message: `${flags.join(' and ')} ${verb} required`,
        where: flags.join(' '),
      };
    },
  ],
  [
    /^Not enough non-option arguments/,
    ({ positionals }) => ({
      code: 'E_ARGUMENT_MISSING',
      message: `an argument is missing: ${positionalNames(positionals).join(', ')}`,
    }),
  ],
  [
    /^Invalid values:\n {2}Argument: (\S+), Given: (.*), Choices: (.*)/,
    (_, flag, given, choices) => ({
      code: 'E_OPTION_VALUE',
      message: `${dashed(flag)}: expected ${choices.replaceAll(', ', ' or ')}, received ${given}`,
      option: dashed(flag),
    }),
  ],
  [
    /^Arguments (\S+) and (\S+) are mutually exclusive/,
    (_, one, other) => ({
      code: 'E_FLAG_CONFLICT',
      message: `${dashed(one)} and ${dashed(other)} exclude each other`,
      option: dashed(other),
      fix: 'give one of the two',
    }),
  ],
];

/** yargs' message about a command line as an error for users. */
export function misused(message: string, command: NamedCommand): UsageError {
  const fix = helpOf(command);
  for (const [pattern, meaning] of MEANINGS) {
    const match = pattern.exec(message);
    if (match === null) continue;
    const { message: what, ...details } = meaning(command, ...match.slice(1));
    return new UsageError(what, { fix, ...details });
  }
  return new UsageError(message, { code: 'E_USAGE', fix });
}
