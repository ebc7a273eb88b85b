// The data set of the joint Transformer in memory: read from token shards, or encoded before training starts.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { CaptionedImage } from '../../data/image.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { keepCaptioned } from '../../data/sources/keep-captioned.ts';
import { splitExamples } from '../../data/split.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import { isTokenFolder, readTokenFolder } from '../../data/tokens/read.ts';
import {
  joinValidation,
  readTrainingImages,
  type TrainingSource,
  withoutTest,
} from '../../data/training-source.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { encodeImages, IMAGES_PER_BATCH } from '../../inference/jobs/encode-images.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import type { RunContext } from '../loop/run-context.ts';

/** Captioned images as image tokens. */
export interface TokenizedDataset {
  readonly keys: readonly string[];
  /** The captions of each image, at least one. */
  readonly captions: readonly (readonly string[])[];
  /** images × grid² */
  readonly codes: Uint16Array;
  /** Where each image belongs, when the source says it. */
  readonly places?: readonly Place[];
}

type Place = Pick<CaptionedImage, 'split' | 'weight'>;

/**
 * Opens the data set of a configuration.
 * @throws UsageError when it names none
 * @throws DataError for shards of another dVAE or without captions, and about the data
 */
export async function openDataset(
  { data: { tokens, path, validationPath, weights, table } }: DalleConfig,
  codec: DvaeCodec,
  dvae: Checkpoint,
  faults: Faults,
  context: RunContext,
): Promise<TokenizedDataset> {
  const read = async (source: string, factors?: readonly number[]): Promise<TokenizedDataset> => {
    if (await isTokenFolder(source)) return readShards(source, codec, dvae, faults);
    return encodeSource({ path: source, weights: factors, table }, codec, faults, context);
  };
  const source = tokens ?? path;
  if (source !== undefined) {
    const all = await (tokens === undefined
      ? read(source, weights)
      : readShards(source, codec, dvae, faults));
    return validationPath === undefined ? all : withValidation(all, await read(validationPath));
  }
  throw new UsageError('there is nothing to train on', {
    code: 'E_NO_DATA',
    where: 'data',
    fix: 'set data.tokens (from mm tokenize) or data.path',
  });
}

/** Both data sets as one, all of the first being for training and all of the second for validation. */
function withValidation(training: TokenizedDataset, validation: TokenizedDataset): TokenizedDataset {
  const indexed = ({ keys, places = [] }: TokenizedDataset) =>
    keys.map((key, index) => ({ key, index, path: key, ...places[index] }));
  const kept = indexed(training).filter(({ split }) => split !== 'validation');
  const [first, second] = [select(training, kept), select(validation, indexed(validation))];
  return {
    keys: [...first.keys, ...second.keys],
    captions: [...first.captions, ...second.captions],
    codes: Uint16Array.from([...first.codes, ...second.codes]),
    places: joinValidation(first.places ?? [], second.places ?? []),
  };
}

async function readShards(
  path: string,
  codec: DvaeCodec,
  dvae: Checkpoint,
  faults: Faults,
): Promise<TokenizedDataset> {
  const { keys, captions, codes, splits, ...set } = await readTokenFolder(path);
  assertSameDvae(set, codec.hash, dvae.path);
  const places = splits.map((split): Place => (split === undefined ? {} : { split }));
  const examples = keys.map((key, index) => ({
    index,
    key,
    path: `${path}: ${key}`,
    captions: captions[index] as readonly string[],
    ...places[index],
  }));
  const kept = withoutTest(keepCaptioned(examples, { captions: 'required', faults }), { faults });
  faults.report(kept.length);
  const all = { keys, captions, codes, places };
  return kept.length === keys.length ? all : select(all, kept);
}

async function encodeSource(
  data: TrainingSource,
  codec: DvaeCodec,
  faults: Faults,
  { progress, signal }: RunContext,
): Promise<TokenizedDataset> {
  const source = await readTrainingImages(data, { captions: 'required', faults, signal });
  const interrupted = new InterruptedError('stopped while tokenizing', {
    code: 'E_INTERRUPTED',
    where: data.path,
    fix: 'mm tokenize keeps its work; train with data.tokens',
  });
  const encoded = encodeImages(codec, chunks(source, IMAGES_PER_BATCH), {
    faults,
    total: source.length,
    interruption: () => interrupted,
    progress,
    signal,
  });
  const codes = new Uint16Array(source.length * codec.grid ** 2);
  const usable: typeof source = [];
  for await (const batch of encoded) {
    codes.set(batch.codes, usable.length * codec.grid ** 2);
    usable.push(...batch.images);
  }
  return {
    keys: usable.map(({ key }) => key),
    captions: usable.map(({ captions }) => captions),
    codes: codes.subarray(0, usable.length * codec.grid ** 2),
    places: usable.map(({ split, weight }) => ({ ...(split && { split }), ...(weight && { weight }) })),
  };
}

/** The examples at some indices, under their keys. */
function select(
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
