// Image tokens of a data set in memory: parts of it, and two of them as one.

import { createHash } from 'node:crypto';
import { splitExamples } from '../../data/split.ts';
import { joinValidation } from '../../data/training-source.ts';
import type { TokenizedDataset } from './examples.ts';

/** The examples at some indices, under their keys. */
export function select(
  { keys, captions, codes, places = [] }: TokenizedDataset,
  examples: readonly { readonly key: string; readonly index: number }[],
): TokenizedDataset {
  const length = codes.length / keys.length;
  const selected = new Uint16Array(examples.length * length);
  for (const [to, { index }] of examples.entries())
    selected.set(codes.subarray(index * length, (index + 1) * length), to * length);
  return {
    keys: examples.map(({ key }) => key),
    captions: examples.map(({ index }) => captions[index] as readonly string[]),
    codes: selected,
    places: examples.map(({ index }) => places[index] ?? {}),
  };
}

/** Splits a data set into training and validation, as `splitExamples` does. */
export function splitDataset(
  dataset: TokenizedDataset,
  share: number,
): { training: TokenizedDataset; heldOut: TokenizedDataset } {
  const { keys, places = [] } = dataset;
  const { training, heldOut } = splitExamples(
    keys.map((key, index) => ({ key, index, ...places[index] })),
    share,
  );
  return { training: select(dataset, training), heldOut: select(dataset, heldOut) };
}

/** Both data sets as one, all of the first being for training and all of the second for validation. */
export function withValidation(training: TokenizedDataset, validation: TokenizedDataset): TokenizedDataset {
  const indexed = ({ keys, places = [] }: TokenizedDataset) =>
    keys.map((key, index) => ({ key, index, path: key, ...places[index] }));
  const kept = indexed(training).filter(({ split }) => split !== 'validation');
  const [first, second] = [select(training, kept), select(validation, indexed(validation))];
  return {
    keys: [...first.keys, ...second.keys],
    captions: [...first.captions, ...second.captions],
    codes: joined(first.codes, second.codes),
    places: joinValidation(first.places ?? [], second.places ?? []),
  };
}

function joined(a: Uint16Array, b: Uint16Array): Uint16Array {
  const all = new Uint16Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** Identifies a data set: keys, captions and codes in their order. */
export const datasetHash = ({ keys, captions, codes }: TokenizedDataset): string =>
  createHash('sha256')
    .update(codes)
    .update(JSON.stringify([keys, captions]))
    .digest('hex');
