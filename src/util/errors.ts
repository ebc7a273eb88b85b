// The errors a user can cause. Each says what is wrong, where, and what to do; the command-line
// boundary prints them without a stack trace and turns `exitCode` into the process's exit code.

export const EXIT = { ok: 0, bug: 1, usage: 2, data: 3, engine: 4, interrupted: 130 } as const;

/** Names one kind of error for programs and tests; its wording may change, its code does not. */
export type ErrorCode = `E_${string}`;

export interface ErrorDetails {
  /** For example `E_PROMPT_TOO_LONG`. */
  readonly code: ErrorCode;
  /**
   * The option the error is about, by its key in the API: `guidance`, `prime.rows`. The command line names its flag.
   * Messages and fixes name options in backticks, which the command line replaces by flags too.
   */
  readonly option?: string;
  /** File, or file:line:column, or URL-like place the error is about. */
  readonly where?: string;
  /** What the user can do about it: a command, a key to change, a file to look at. */
  readonly fix?: string;
  readonly cause?: unknown;
}

/** Base class of errors that a user can fix. */
export abstract class UserError extends Error {
  abstract readonly exitCode: number;
  readonly code: ErrorCode;
  readonly option: string | undefined;
  readonly where: string | undefined;
  readonly fix: string | undefined;

  constructor(what: string, details: ErrorDetails) {
    super(what, { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.option = details.option;
    this.where = details.where;
    this.fix = details.fix;
  }
}

/** Wrong flags, wrong configuration: exit code 2. */
export class UsageError extends UserError {
  readonly exitCode = EXIT.usage;
}

/** Unusable data, checkpoint or storage, too little memory, or a lost worker: exit code 3. */
export class DataError extends UserError {
  readonly exitCode = EXIT.data;
}

/** libtensorflow is missing or does not load: exit code 4. */
export class EngineError extends UserError {
  readonly exitCode = EXIT.engine;
}

/** The user asked to stop and everything worth keeping is saved: exit code 130. */
export class InterruptedError extends UserError {
  readonly exitCode = EXIT.interrupted;
}

/** What `formatUserError` prints of an error. */
export type PrintedError = Pick<UserError, 'message' | 'where' | 'fix' | 'code'>;

/** The error as users see it: message, place, fix and code, a line each. */
export function formatUserError({ message, where, fix, code }: PrintedError): string {
  const lines = [`error: ${message}`];
  if (where !== undefined) lines.push(`  at:  ${where}`);
  if (fix !== undefined) lines.push(`  fix: ${fix}`);
  if (code !== undefined) lines.push(`  code: ${code}`);
  return lines.join('\n');
}

/** A failure as an error that a user can fix, where it is one: memory that JavaScript did not get. */
export function asUserError(error: unknown): UserError | undefined {
  if (error instanceof UserError) return error;
  if (!(error instanceof RangeError) || error.message !== 'Array buffer allocation failed') return undefined;
  return outOfMemory('an array', error);
}

/** @param what could not be had */
export const outOfMemory = (what: string, cause: unknown): DataError =>
  new DataError(`there is not enough memory: ${what}`, {
    code: 'E_OUT_OF_MEMORY',
    fix: 'take fewer examples or images at a time, or a smaller model; `mm plan` says what training takes, and train.sharding divides it among devices',
    cause,
  });
