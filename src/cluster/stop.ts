// Propagation of errors: the error of one worker becomes an error of all, with its code and exit code.

import {
  asUserError,
  DataError,
  EngineError,
  type ErrorCode,
  EXIT,
  InterruptedError,
  UsageError,
  type UserError,
} from '../util/errors.ts';

export interface Stop {
  /** The worker that stopped first. */
  readonly rank: number;
  readonly exitCode: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly option: string | undefined;
  readonly where: string | undefined;
  readonly fix: string | undefined;
}

const MAX_CHARACTERS = 4000;

/** Makes text of another process safe for a terminal: bounded, on one line, without control characters. */
export const plainText = (text: string): string =>
  text
    .slice(0, MAX_CHARACTERS)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');

const NO_DETAILS = { option: undefined, where: undefined, fix: undefined } as const;

export function stopFromError(error: unknown, rank: number): Stop {
  const known = asUserError(error);
  if (known) {
    const { exitCode, code = 'E_WORKER_STOPPED', message, option, where, fix } = known;
    return { rank, exitCode, code, message, option, where, fix };
  }
  const message = 'failed because of a bug; see its output';
  return { ...NO_DETAILS, rank, exitCode: EXIT.bug, code: 'E_WORKER_FAILED', message };
}

export const encodeStop = (stop: Stop): Uint8Array => new TextEncoder().encode(JSON.stringify(stop));

/** Decodes a stop without trusting its content: that the sender stopped is certain, all else is checked. */
export function decodeStop(bytes: Uint8Array, sender: number): Stop {
  let value: Partial<Record<keyof Stop, unknown>> = {};
  try {
    value = Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    // Not JSON: the sender stopped all the same.
  }
  const text = (part: unknown): string | undefined =>
    typeof part === 'string' ? plainText(part) : undefined;
  const matching = (part: unknown, pattern: RegExp): string | undefined =>
    typeof part === 'string' && pattern.test(part) ? part : undefined;
  return {
    rank: Number.isSafeInteger(value.rank) ? Number(value.rank) : sender,
    exitCode: Number.isSafeInteger(value.exitCode) ? Number(value.exitCode) : EXIT.data,
    code: (matching(value.code, /^E_[A-Z0-9_]{1,60}$/) ?? 'E_WORKER_STOPPED') as ErrorCode,
    message: text(value.message) ?? 'stopped',
    option: matching(value.option, /^[\w.]{1,60}$/),
    where: text(value.where),
    fix: text(value.fix),
  };
}

/** The error of another worker as an error of this one. */
export function errorFromStop({ rank, exitCode, code, message, option, where, fix }: Stop): UserError {
  const details = {
    code,
    ...(option !== undefined && { option }),
    ...(where !== undefined && { where }),
    ...(fix !== undefined && { fix }),
  };
  const what = `worker ${rank}: ${message}`;
  switch (exitCode) {
    case EXIT.usage:
      return new UsageError(what, details);
    case EXIT.engine:
      return new EngineError(what, details);
    case EXIT.interrupted:
      return new InterruptedError(what, details);
    default:
      return new DataError(what, details);
  }
}

/** The stop of a worker that was lost: its process, machine or connection failed. */
export const lostStop = (rank: number, reason: string): Stop => ({
  ...NO_DETAILS,
  rank,
  exitCode: EXIT.data,
  code: 'E_WORKER_LOST',
  message: `it was lost: ${reason}`,
  fix: 'check its output and its machine, then continue with `resume`',
});
