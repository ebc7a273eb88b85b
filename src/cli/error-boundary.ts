// The one place where errors become output and exit codes. Errors of the API and of the rooms below it name options by
// their keys; here the keys become the flags of the running command.

import { asUserError, EXIT, formatUserError, type PrintedError, type UserError } from '../util/errors.ts';
import { kebabCase } from './flag-names.ts';

/** How the running command spells its options. */
export interface FlagNames {
  /** All flags of the command, without dashes. */
  readonly known: ReadonlySet<string>;
  /** Flags of option keys whose flag is not the key in kebab-case. */
  readonly special: Readonly<Record<string, string>>;
}

/** The JSON of an error, under `--json` the value of `error` in an object on stdout. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  /** The flag that the error is about. */
  readonly option?: string;
  /** File, or file:line:column, that the error is about. */
  readonly where?: string;
  readonly fix?: string;
  readonly exitCode: number;
}

/** The flag of an option key, with its dashes; undefined where the command has none. A flag is its own flag. */
function flagOf(key: string, { known, special }: FlagNames): string | undefined {
  if (key.startsWith('-')) return key;
  const name = special[key] ?? kebabCase(key);
  return known.has(name) ? `--${name}` : undefined;
}

/** Replaces option keys in backticks by flags; other code stays as it is. */
const withFlags = (text: string, flags: FlagNames): string =>
  text.replaceAll(/`([a-z][\w.]*)`/gi, (code, key: string) => flagOf(key, flags) ?? code);

const NO_FLAGS: FlagNames = { known: new Set(), special: {} };

/** An error in the words of the command line. */
export function reportOf(error: UserError, flags: FlagNames = NO_FLAGS): ErrorReport {
  const { code, message, option, where, fix, exitCode } = error;
  return {
    code,
    message: withFlags(message, flags),
    ...(option !== undefined && { option: flagOf(option, flags) ?? option }),
    ...(where !== undefined && { where }),
    ...(fix !== undefined && { fix: withFlags(fix, flags) }),
    exitCode,
  };
}

/** The lines for people. The place of an error is where it says, or the flag that it is about. */
function formatReport(report: ErrorReport): string {
  const { message, option, where, fix, code } = report;
  return formatUserError({ message, where: where ?? option, fix, code } as PrintedError);
}

const crashReport = (error: unknown): ErrorReport => ({
  code: 'E_CRASH',
  message: error instanceof Error ? error.message : String(error),
  exitCode: EXIT.bug,
});

const wantsJson = (argv: readonly string[]): boolean => {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).includes('--json');
};

/** Prints the error to stderr, and under `--json` to stdout, and sets the process's exit code. */
export function printError(error: unknown, argv: readonly string[], flags: FlagNames | undefined): void {
  const known = asUserError(error);
  const report = known ? reportOf(known, flags) : crashReport(error);
  const text = known
    ? formatReport(report)
    : `mm failed; this is a bug, please report it:\n${(error as Error)?.stack ?? String(error)}`;
  process.stderr.write(`${text}\n`);
  if (wantsJson(argv)) process.stdout.write(`${JSON.stringify({ error: report })}\n`);
  process.exitCode = report.exitCode;
}
