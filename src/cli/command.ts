// The contract of a command. A command file declares its flags and loads what it needs inside `run`, so that help never
// loads TensorFlow or sharp.

import type { Argv } from 'yargs';
import type { Logger } from '../util/logger.ts';
import type { Progress } from '../util/progress.ts';

/** What every command gets besides its own flags. */
export interface Context {
  /** stdout: one JSON object on a line under `--json`, otherwise nothing. */
  json(value: unknown): void;
  /** stdout: a line for people; nothing under `--json`. */
  print(line: string): void;
  /** Nothing but warnings and errors goes to stderr. */
  readonly isQuiet: boolean;
  readonly log: Logger;
  /** The words after `--`, for a command that starts another one; of every other command they are its own. */
  readonly rest: readonly string[];
  readonly progress: Progress;
  /** Aborted by the first Ctrl-C: finish the step, save, and throw InterruptedError. */
  readonly signal: AbortSignal;
}

export interface Command<Flags = Record<string, unknown>> {
  /** Declares flags, examples and their help. */
  flags(yargs: Argv): Argv<Flags>;
  /** Flags, without dashes, of option keys whose flag is not the key in kebab-case: `{ 'prime.rows': 'keep-rows' }`. */
  readonly optionFlags?: Readonly<Record<string, string>>;
  run(flags: Flags, context: Context): Promise<void>;
}

/** Keeps the flags' types between `flags` and `run`. */
export function defineCommand<Flags>(command: Command<Flags>): Command<Flags> {
  return command;
}
