// What a command is. A command file declares its flags and loads what it needs inside `run`, so that help
// never loads TensorFlow or sharp.

import type { Argv } from 'yargs';
import type { Logger } from '../util/logger.ts';
import type { Progress } from '../util/progress.ts';

/** What every command gets besides its own flags. */
export interface Context {
  /** stdout: one object for programs when `--json` is set, else ignored; see `print` for people. */
  json(value: unknown): void;
  /** stdout: a line for people; silent under `--json`. */
  print(line: string): void;
  readonly wantsJson: boolean;
  /** Nothing but warnings and errors goes to stderr. */
  readonly isQuiet: boolean;
  readonly log: Logger;
  readonly progress: Progress;
  /** Aborted by the first Ctrl-C: finish the step, save, and throw InterruptedError. */
  readonly signal: AbortSignal;
}

export interface Command<Flags = Record<string, unknown>> {
  /** Declares flags, examples and their help. */
  flags(yargs: Argv): Argv<Flags>;
  run(flags: Flags, context: Context): Promise<void>;
}

/** Keeps the flags' types between `flags` and `run`. */
export function defineCommand<Flags>(command: Command<Flags>): Command<Flags> {
  return command;
}
