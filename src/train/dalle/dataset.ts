// The data set of the joint Transformer: read from token shards, or encoded before training starts; token shards that
// are too many for memory stay where they are (sharded-tokens.ts).

import { createHash } from 'node:crypto';
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { keepCaptioned } from '../../data/sources/keep-captioned.ts';
import { splitExamples } from '../../data/split.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import type { TokenManifest } from '../../data/tokens/manifest.ts';
import { isTokenFolder, readFinishedManifest, readTokenFolder } from '../../data/tokens/read.ts';
import {
  joinValidation,
  readTrainingImages,
  type TrainingSource,
  withoutTest,
} from '../../data/training-source.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { encodeImages, IMAGES_PER_BATCH } from '../../inference/jobs/encode-images.ts';
import { InterruptedError, UsageError } from '../../util/errors.ts';
import type { OpenContext, RunContext } from '../loop/run-context.ts';
import { inMemory, type Place, type TokenExamples, type TokenizedDataset } from './examples.ts';
import { heldOutTokens, shardedTokens, tokensHash } from './sharded-tokens.ts';

/** The examples that a run trains on, and those it is validated with. */
export interface OpenedExamples {
  readonly training: TokenExamples;
  readonly heldOut: TokenizedDataset;
  /** All examples, whose captions can be checked before training; undefined where they are not in memory. */
  readonly checked: TokenizedDataset | undefined;
  /** Identifies the data: images and captions in their order. */
  readonly hash: string;
}

/**
 * Opens the data of a configuration: in memory, or token shards of more than `data.shuffle.whole` images shard by shard.
 * @param maxHeldOut held-out examples that are used, at most
 * @throws as `openDataset` does; UsageError for so many captions that they are not checked, and may not be cut
 */
export async function openExamples(
  config: DalleConfig,
  codec: DvaeCodec,
  dvae: Checkpoint,
  maxHeldOut: number,
  context: OpenContext,
): Promise<OpenedExamples> {
  const { faults, log } = context;
  const { data } = config;
  const large = await largeFolder(data.tokens ?? data.path, data.shuffle.whole);
  if (!large) {
    const all = await openDataset(config, codec, dvae, faults, context);
    const { training, heldOut } = splitDataset(all, data.validation);
    return { training: inMemory(training), heldOut, checked: all, hash: datasetHash(all) };
  }
  const { path, manifest } = large;
  assertSameDvae({ dvaeHash: manifest.dvae }, codec.hash, dvae.path);
  if (!data.truncateCaptions) {
    throw new UsageError('the captions of so many images are not checked before training', {
      code: 'E_CAPTIONS_NOT_CHECKED',
      where: path,
      fix: 'set data.truncateCaptions, so that one that is too long is cut; mm data check counts them',
    });
  }
  const { validationPath, validation, shuffle } = data;
  const share = validationPath === undefined ? validation : 0;
  const heldOut =
    validationPath === undefined
      ? await heldOutTokens(path, manifest, share, maxHeldOut)
      : await openValidation(config, validationPath, codec, dvae, maxHeldOut, context);
  const training = shardedTokens(path, manifest, {
    share,
    // A batch and those in flight reach over two windows at most.
    buffer: Math.max(shuffle.buffer, 2 * config.train.batch),
    faults,
  });
  log.info(
    `${manifest.images} images in ${manifest.shards.length} token shards, read shard by shard; ${shuffle.buffer} are shuffled at a time`,
  );
  return { training, heldOut, checked: undefined, hash: tokensHash(manifest) };
}

/** A separate validation source: all of it in memory, or the first images of a large folder of token shards. */
async function openValidation(
  config: DalleConfig,
  source: string,
  codec: DvaeCodec,
  dvae: Checkpoint,
  max: number,
  context: OpenContext,
): Promise<TokenizedDataset> {
  const large = await largeFolder(source, config.data.shuffle.whole);
  if (!large) {
    const { validationPath: _, weights: __, tokens: ___, ...data } = config.data;
    return openDataset({ ...config, data: { ...data, path: source } }, codec, dvae, context.faults, context);
  }
  assertSameDvae({ dvaeHash: large.manifest.dvae }, codec.hash, dvae.path);
  return heldOutTokens(large.path, large.manifest, 1, max);
}

/** A folder of token shards with more images than stay in memory. */
async function largeFolder(
  path: string | undefined,
  whole: number,
): Promise<{ readonly path: string; readonly manifest: TokenManifest } | undefined> {
  if (path === undefined || !(await isTokenFolder(path))) return undefined;
  const manifest = await readFinishedManifest(path);
  return manifest.images > whole ? { path, manifest } : undefined;
}

/** Identifies a data set in memory. */
const datasetHash = ({ keys, captions, codes }: TokenizedDataset): string =>
  createHash('sha256')
    .update(codes)
    .update(JSON.stringify([keys, captions]))
    .digest('hex');

/**
 * Opens the data set of a configuration.
 * @throws UsageError when it names none
 * @throws DataError for shards of another dVAE or without captions, and about the data
 */
async function openDataset(
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

/** Codes that are made before training stay in memory. */
const MAX_CODE_BYTES = 2 ** 32;

function assertFits(images: number, { grid }: DvaeCodec, where: string): void {
  if (images * grid ** 2 * 2 <= MAX_CODE_BYTES) return;
  throw new UsageError(`the codes of ${images} images do not stay in memory`, {
    code: 'E_DATA_TOO_LARGE',
    where,
    fix: 'make token shards of them once, with mm tokenize, and train with data.tokens',
  });
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
  assertFits(source.length, codec, data.path);
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
function splitDataset(
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
