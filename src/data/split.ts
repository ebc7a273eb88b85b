// Which examples are held out for validation: a hash of the name decides, so that the answer is the same on
// every machine, in every order, and stays the same when examples are added.

import { createHash } from 'node:crypto';

/** The first 32 bits of the SHA-256 of `text`, as a number in [0, 1). */
export function hashFraction(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32;
}

/** Whether the example `key` belongs to validation, where `share` (0 … 1) of all examples do. */
export function isValidation(key: string, share: number): boolean {
  return hashFraction(`validation ${key}`) < share;
}

export interface ExampleSplit<T> {
  readonly training: T[];
  /** To look at progress with: a handful of examples may leave none held out, then it is those trained on. */
  readonly heldOut: T[];
}

/** Examples to train on, and those held out. */
export function splitExamples<T extends { readonly key: string }>(
  examples: readonly T[],
  share: number,
): ExampleSplit<T> {
  const heldOut = examples.filter(({ key }) => isValidation(key, share));
  const training = examples.filter(({ key }) => !isValidation(key, share));
  return { training, heldOut: heldOut.length > 0 ? heldOut : training };
}
