// The check of a whole number that a user gives, for the API's options and the command line's flags.

import { UsageError } from './errors.ts';

export interface Range {
  /** Smallest number accepted: 1 where it is left out. */
  readonly min?: number;
  /** Largest number accepted. */
  readonly max?: number;
}

/** "a whole number from 1 to 1024" */
function expected({ min = 1, max }: Range): string {
  return max === undefined ? `a whole number, at least ${min}` : `a whole number from ${min} to ${max}`;
}

/**
 * Checks the value of an option.
 * @param option the option's key in the API, such as `batchSize`
 * @param fix what to do; the default is to leave the option out
 * @throws UsageError E_OPTION_VALUE
 */
export function assertWholeNumber(
  option: string,
  value: number,
  range: Range = {},
  fix = `leave \`${option}\` out for its default`,
): void {
  const { min = 1, max = Number.MAX_SAFE_INTEGER } = range;
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new UsageError(`\`${option}\`: expected ${expected(range)}, received ${value}`, {
    code: 'E_OPTION_VALUE',
    option,
    fix,
  });
}
