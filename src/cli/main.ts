// The command line: strict flags and lazily loaded commands.

import yargs, { type Argv } from 'yargs';
import { createLogger, LOG_LEVELS, type LogLevel } from '../util/logger.ts';
import { createProgress } from '../util/progress.ts';
import { version } from '../util/version.ts';
import type { Context } from './command.ts';
import { type FlagNames, printError } from './error-boundary.ts';
import {
  addDashedAliases,
  checkGiven,
  flagKeys,
  flagNames,
  misused,
  type NamedCommand,
  NO_ACTION,
  NO_COMMAND,
  positionalNames,
  unshield,
  withTiedValues,
} from './given-flags.ts';
import { onInterrupt } from './interrupt.ts';
import { type CommandEntry, isGroup, REGISTRY, type RegistryEntry } from './registry.ts';

interface GlobalFlags {
  json: boolean;
  quiet: boolean;
  logLevel: LogLevel;
}

const GLOBAL_FLAGS = ['json', 'quiet', 'log-level', 'help', 'version'];
const MAX_WIDTH = 110;

/** The command line, and the command that it names, for the messages of errors. */
interface Running {
  readonly argv: readonly string[];
  /** The words after `--`, which are another command's. */
  readonly rest: readonly string[];
  command: NamedCommand;
  flags?: FlagNames;
}

async function runCommand(
  entry: CommandEntry,
  flags: GlobalFlags & Record<string, unknown>,
  rest: readonly string[],
): Promise<void> {
  const { command } = await entry.load();
  const interrupt = onInterrupt();
  const context: Context = {
    json: (value) => void (flags.json && process.stdout.write(`${JSON.stringify(value)}\n`)),
    print: (line) => void (!flags.json && process.stdout.write(`${line}\n`)),
    isQuiet: flags.quiet,
    rest,
    log: createLogger(flags.quiet && flags.logLevel === 'info' ? 'warn' : flags.logLevel),
    progress: createProgress(flags.quiet),
    signal: interrupt.signal,
  };
  try {
    await command.run(flags, context);
  } finally {
    context.progress.stop();
    interrupt.release();
  }
}

/** yargs' methods that its types leave out. */
type Groups = Argv & { getGroups(): Readonly<Record<string, readonly string[]>> };

/** Declares the flags of a command. Its help shows them before the flags that every command has. */
async function declare(yargs: Argv, entry: CommandEntry, running: Running): Promise<Argv> {
  const { command } = await entry.load();
  // Groups appear in the order in which they are first named.
  if (entry.positionals !== undefined) yargs.group([], 'Positionals:');
  yargs.group([], 'Options:');
  command.flags(yargs);
  const grouped = new Set(Object.values((yargs as Groups).getGroups()).flat());
  yargs.group(
    flagKeys(yargs).filter((key) => !grouped.has(key)),
    'Options:',
  );
  if (running.argv.includes('--help')) {
    // Help shows no `[default: []]` for lists of positionals, and one spelling of each alias.
    for (const name of positionalNames(entry.positionals)) yargs.default(name, undefined);
  } else addDashedAliases(yargs);
  running.flags = { known: flagNames(yargs), special: command.optionFlags ?? {} };
  return yargs.middleware((given) => {
    unshield(given);
    checkGiven(given, yargs, running.command);
  }, true);
}

/** Declares commands; only the one that is called is loaded, the others appear by name in the help. */
function register(parser: Argv, entries: readonly RegistryEntry[], running: Running, group = ''): void {
  for (const entry of entries) {
    if (isGroup(entry)) {
      parser.command(entry.name, entry.describe, (y) => {
        running.command = { name: entry.name };
        register(y, entry.actions, running, `${entry.name} `);
        return y.demandCommand(1, NO_ACTION);
      });
      continue;
    }
    const name = entry.positionals === undefined ? entry.name : `${entry.name} ${entry.positionals}`;
    parser.command(
      name,
      entry.describe,
      (y) => {
        running.command = { name: `${group}${entry.name}`, positionals: entry.positionals };
        return declare(y, entry, running);
      },
      (flags) => runCommand(entry, flags as unknown as GlobalFlags & Record<string, unknown>, running.rest),
    );
  }
}

async function parse(running: Running): Promise<void> {
  const parser = yargs(withTiedValues(running.argv))
    .scriptName('mm')
    .locale('en')
    .usage('$0 <command>\n\nTrain, sample and rank DALL·E- and CLIP-style models.')
    .version('version', 'print the version', version())
    .help('help', 'describe the command and its flags')
    .epilog('mm COMMAND --help describes the flags of a command.')
    .strict()
    .recommendCommands()
    .demandCommand(1, NO_COMMAND)
    .wrap(Math.min(MAX_WIDTH, process.stderr.columns ?? MAX_WIDTH))
    .option('json', {
      type: 'boolean',
      default: false,
      global: true,
      describe:
        'results as JSON on stdout, a line each; an error is {"error":{"code","message","option","where","fix","exitCode"}}',
    })
    .option('quiet', {
      type: 'boolean',
      default: false,
      global: true,
      describe: 'only warnings and errors on stderr, no progress',
    })
    .option('log-level', {
      choices: LOG_LEVELS,
      default: 'info' as LogLevel,
      global: true,
      describe: 'least severity that is logged on stderr',
    })
    .group(GLOBAL_FLAGS, 'Everywhere:')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? misused(message, running.command);
    });

  register(parser, REGISTRY, running);
  try {
    await parser.parseAsync();
  } catch (error) {
    // A flag without its value: yargs throws a YError and does not call `fail`.
    if ((error as Error)?.name !== 'YError') throw error;
    throw misused((error as Error).message, running.command);
  }
}

/** The command line up to `--`, and what follows it, where the command starts another one. */
function splitRest(argv: readonly string[]): [own: readonly string[], rest: readonly string[]] {
  const name = argv.find((word) => !word.startsWith('-'));
  const end = argv.indexOf('--');
  const entry = REGISTRY.find((entry) => entry.name === name);
  if (end < 0 || !entry || isGroup(entry) || !entry.startsAnother) return [argv, []];
  return [argv.slice(0, end), argv.slice(end + 1)];
}

/** Runs one command line; sets the process's exit code and never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  const [own, rest] = splitRest(argv);
  const running: Running = { argv: own, rest, command: {} };
  try {
    await parse(running);
  } catch (error) {
    printError(error, argv, running.flags);
  }
}
