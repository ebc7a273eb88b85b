// Why a worker stops, in words that reach the others: the error of one becomes an error of all, with its exit code.

import { DataError, EngineError, EXIT, InterruptedError, UsageError, UserError } from '../util/errors.ts';

export interface Stop {
  /** The worker that stopped first. */
  readonly rank: number;
  readonly exitCode: number;
  readonly message: string;
  readonly where: string | undefined;
  readonly fix: string | undefined;
}

const MAX_CHARACTERS = 4000;

/** Text of another process for a terminal: bounded, on one line, without control characters. */
export const plainText = (text: string): string =>
  text
    .slice(0, MAX_CHARACTERS)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');

export function stopFromError(error: unknown, rank: number): Stop {
  if (error instanceof UserError) {
    const { exitCode, message, where, fix } = error;
    return { rank, exitCode, message, where, fix };
  }
  const message = 'failed by a bug; what it printed says more';
  return { rank, exitCode: EXIT.bug, message, where: undefined, fix: undefined };
}

export const encodeStop = (stop: Stop): Uint8Array => new TextEncoder().encode(JSON.stringify(stop));

/** Nothing of it is believed but that the sender stopped. */
export function decodeStop(bytes: Uint8Array, sender: number): Stop {
  let value: Partial<Record<keyof Stop, unknown>> = {};
  try {
    value = Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    // It stopped all the same.
  }
  const text = (part: unknown): string | undefined =>
    typeof part === 'string' ? plainText(part) : undefined;
  return {
    rank: Number.isSafeInteger(value.rank) ? Number(value.rank) : sender,
    exitCode: Number.isSafeInteger(value.exitCode) ? Number(value.exitCode) : EXIT.data,
    message: text(value.message) ?? 'stopped',
    where: text(value.where),
    fix: text(value.fix),
  };
}

/** The error of another worker as one of this worker's. */
export function errorFromStop({ rank, exitCode, message, where, fix }: Stop): UserError {
  const details = { ...(where !== undefined && { where }), ...(fix !== undefined && { fix }) };
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

/** A worker of which nothing more is heard. */
export const lostStop = (rank: number, how: string): Stop => ({
  rank,
  exitCode: EXIT.data,
  message: `it was lost: ${how}`,
  where: undefined,
  fix: 'look at what it printed and at its machine, then go on with --resume',
});
