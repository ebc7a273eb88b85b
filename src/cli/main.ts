// The command line: strict flags, lazily loaded commands, and the one place where errors become exit codes.

import yargs, { type Argv } from 'yargs';
import { EXIT, formatUserError, UserError } from '../util/errors.ts';
import { createLogger, LOG_LEVELS, type LogLevel } from '../util/logger.ts';
import { createProgress } from '../util/progress.ts';
import { version } from '../util/version.ts';
import type { Context } from './command.ts';
import { checkGiven, misused } from './given-flags.ts';
import { onInterrupt } from './interrupt.ts';
import { type CommandEntry, isGroup, REGISTRY, type RegistryEntry } from './registry.ts';

interface GlobalFlags {
  json: boolean;
  quiet: boolean;
  logLevel: LogLevel;
}

async function runCommand(entry: CommandEntry, flags: GlobalFlags & Record<string, unknown>): Promise<void> {
  const { command } = await entry.load();
  const interrupt = onInterrupt();
  const context: Context = {
    json: (value) => void (flags.json && process.stdout.write(`${JSON.stringify(value)}\n`)),
    print: (line) => void (!flags.json && process.stdout.write(`${line}\n`)),
    wantsJson: flags.json,
    isQuiet: flags.quiet,
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

/** Declares commands; only the one that is called is loaded, the others appear by name in the help. */
function register(parser: Argv, entries: readonly RegistryEntry[]): void {
  for (const entry of entries) {
    if (isGroup(entry)) {
      parser.command(entry.name, entry.describe, (y) => {
        register(y, entry.actions);
        return y.demandCommand(1, `name an action; mm ${entry.name} --help lists them`);
      });
      continue;
    }
    const name = entry.positionals === undefined ? entry.name : `${entry.name} ${entry.positionals}`;
    parser.command(
      name,
      entry.describe,
      async (y) =>
        (await entry.load()).command
          .flags(y)
          .middleware((flags) => checkGiven(flags, y, entry.positionals), true),
      (flags) => runCommand(entry, flags as unknown as GlobalFlags & Record<string, unknown>),
    );
  }
}

async function parse(argv: readonly string[]): Promise<void> {
  const parser = yargs([...argv])
    .scriptName('mm')
    .usage('$0 <command>\n\nTrain, sample and rank DALL·E- and CLIP-style models.')
    .version(version())
    .strict()
    .recommendCommands()
    .demandCommand(1, 'name a command; mm --help lists them')
    .wrap(Math.min(110, process.stderr.columns ?? 110))
    .option('json', { type: 'boolean', default: false, global: true, describe: 'results as JSON on stdout' })
    .option('quiet', {
      type: 'boolean',
      default: false,
      global: true,
      describe: 'no progress, only warnings and errors',
    })
    .option('log-level', {
      choices: LOG_LEVELS,
      default: 'info' as LogLevel,
      global: true,
      describe: 'how much to log on stderr',
    })
    .group(['json', 'quiet', 'log-level', 'help', 'version'], 'Everywhere:')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? misused(message);
    });

  register(parser, REGISTRY);
  try {
    await parser.parseAsync();
  } catch (error) {
    // A flag without its value: yargs throws an error of its own past `fail`.
    if ((error as Error)?.name !== 'YError') throw error;
    throw misused((error as Error).message);
  }
}

/** Runs one command line; sets the process's exit code and never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    await parse(argv);
  } catch (error) {
    if (error instanceof UserError) {
      process.stderr.write(`${formatUserError(error)}\n`);
      process.exitCode = error.exitCode;
    } else {
      process.stderr.write(
        `mm failed; this is a bug, please report it:\n${(error as Error)?.stack ?? String(error)}\n`,
      );
      process.exitCode = EXIT.bug;
    }
  }
}
