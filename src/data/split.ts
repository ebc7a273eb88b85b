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

/** An example as far as its place in the data set is concerned. */
interface Example {
  readonly key: string;
  /** Part of the data set that it belongs to; by a hash of the key where it is not said. */
  readonly split?: 'train' | 'validation' | 'test' | undefined;
  /** Times that an epoch of training has it; 1 by default. */
  readonly weight?: number | undefined;
}

/** Whether an example is held out: as its source says, or by a hash of its key. */
export const isHeldOut = ({ key, split }: Example, share: number): boolean =>
  split === undefined ? isValidation(key, share) : split === 'validation';

export function splitExamples<T extends Example>(examples: readonly T[], share: number): ExampleSplit<T> {
  const heldOut = examples.filter((example) => isHeldOut(example, share));
  const training = examples.filter((example) => !isHeldOut(example, share)).flatMap(repeated);
  return { training, heldOut: heldOut.length > 0 ? heldOut : training };
}

/**
 * An example as often as its weight says: as many times as its whole part, and once more for a share of the examples,
 * chosen by a hash of the key. Copies have different keys, so that each has a crop and a caption of its epoch.
 */
export function repeated<T extends Example>(example: T): T[] {
  const { key, weight = 1 } = example;
  const whole = Math.floor(weight);
  const count = whole + (hashFraction(`weight ${key}`) < weight - whole ? 1 : 0);
  return Array.from({ length: count }, (_, i) =>
    i === 0 ? example : { ...example, key: `${key}#${i + 1}` },
  );
}
