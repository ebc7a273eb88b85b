// The examples held out for validation: chosen by a hash of the key, so that the choice is the same on every machine,
// in every order, and when examples are added.

import { createHash } from 'node:crypto';

/** The first 32 bits of the SHA-256 of `text`, as a number in [0, 1). */
export function hashFraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}

/** Whether the example `key` is one of the `share` (0 … 1) held out for validation. */
export function isValidation(key: string, share: number): boolean {
  return hashFraction(`validation ${key}`) < share;
}

export interface ExampleSplit<T> {
  readonly training: T[];
  /** Validation examples; the training examples when the split leaves none. */
  readonly heldOut: T[];
}

export function splitExamples<T extends { readonly key: string }>(
  examples: readonly T[],
  share: number,
): ExampleSplit<T> {
  const heldOut = examples.filter(({ key }) => isValidation(key, share));
  const training = examples.filter(({ key }) => !isValidation(key, share));
  return { training, heldOut: heldOut.length > 0 ? heldOut : training };
}
