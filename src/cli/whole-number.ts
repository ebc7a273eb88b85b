// Flags that take a whole number.

import { UserError } from '../util/errors.ts';
import { assertWholeNumber, type Range } from '../util/whole-number.ts';
import { camelCase } from './flag-names.ts';

export interface WholeNumberOptions extends Range {
  /** What to do about a wrong number; the default is to leave the flag out. */
  readonly fix?: string;
}

/** Stands for a flag's value until `checkGiven` throws its error: what `coerce` throws itself, yargs replaces. */
export class InvalidValue {
  readonly error: UserError;

  constructor(error: UserError) {
    this.error = error;
  }
}

/**
 * The declaration of a flag that takes a whole number, at least 1 unless `min` says otherwise:
 * `.option('count', { ...wholeNumber('count', { max: 64 }), default: 4, describe: '…' })`.
 */
export function wholeNumber(flag: string, { fix, ...range }: WholeNumberOptions = {}) {
  return {
    type: 'number',
    requiresArg: true,
    coerce: (value: number): number => {
      // A flag that was given twice has a list, which `checkGiven` refuses.
      if (value === undefined || Array.isArray(value)) return value;
      try {
        assertWholeNumber(camelCase(flag), value, range, fix);
        return value;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        return new InvalidValue(error) as unknown as number;
      }
    },
  } as const;
}
