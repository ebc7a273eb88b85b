// The data set of the joint Transformer: read from token shards, or encoded before training starts. A small one is in
// memory; a large one is token shards that stay where they are (sharded-tokens.ts), in the cache folder where a run
// encodes images by itself.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { indexedList, indexedParts } from '../../data/shards/indexed-source.ts';
import { countsOfLarge } from '../../data/shards/source-counts.ts';
import { keepCaptioned } from '../../data/sources/keep-captioned.ts';
import { openSource } from '../../data/sources/open-source.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import type { TokenManifest } from '../../data/tokens/manifest.ts';
import { isTokenFolder, readFinishedManifest, readTokenFolder } from '../../data/tokens/read.ts';
import { readTrainingImages, withoutTest } from '../../data/training-source.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { type CachedTokenOptions, cachedTokens } from '../../inference/jobs/cached-tokens.ts';
import { IMAGES_PER_BATCH } from '../../inference/jobs/encode-images.ts';
import { counted } from '../../util/counted.ts';
import { UsageError } from '../../util/errors.ts';
import type { OpenContext } from '../loop/run-context.ts';
import { encodeToMemory } from './encode.ts';
import { inMemory, type Place, type TokenExamples, type TokenizedDataset } from './examples.ts';
import { heldOutTokens, shardedTokens, tokensHash } from './sharded-tokens.ts';
import { datasetHash, select, splitDataset, withValidation } from './tokenized-dataset.ts';

/** Images in a shard of the cache, at most, and shards in a window, at least. */
const MAX_SHARD_SIZE = 1000;
const SHARDS_IN_WINDOW = 16;

/** The examples that a run trains on, and those it is validated with. */
export interface OpenedExamples {
  readonly training: TokenExamples;
  readonly heldOut: TokenizedDataset;
  /** Captions that are too long and will be cut: of all examples, or of the held-out ones alone. */
  readonly cut: { readonly count: number; readonly of: 'all' | 'heldOut' };
  /** Identifies the data: images and captions in their order. */
  readonly hash: string;
}

export interface ExampleOptions {
  /** The dVAE's checkpoint, for messages. */
  readonly dvae: Checkpoint;
  /** Held-out examples that are used, at most. */
  readonly maxHeldOut: number;
  /** @returns the number of captions to be cut; throws DataError where they may not be cut, or are blank */
  checkCaptions(set: Captions): number;
}

export type Captions = Pick<TokenizedDataset, 'keys' | 'captions'>;

/** What opening a data set needs. */
interface Scope extends ExampleOptions {
  readonly config: DalleConfig;
  readonly codec: DvaeCodec;
  readonly context: OpenContext;
}

/** Token shards of a large data set. */
interface LargeSet {
  readonly path: string;
  readonly manifest: TokenManifest;
  /** Captions that will be cut, where they were checked. */
  readonly cut?: number;
  /** Turns of each example in an epoch, its largest weight. */
  readonly copies?: number;
}

/**
 * Opens the data of a configuration: in memory, or as token shards where there are more than `data.shuffle.whole` images.
 * @throws UsageError when it names none, or for so many captions that they are not checked, and may not be cut
 * @throws DataError for shards of another dVAE or without captions, and about the data
 */
export async function openExamples(
  config: DalleConfig,
  codec: DvaeCodec,
  options: ExampleOptions,
  context: OpenContext,
): Promise<OpenedExamples> {
  const { tokens, path, validationPath, validation } = config.data;
  const source = tokens ?? path;
  if (source === undefined) {
    throw new UsageError('there is nothing to train on', {
      code: 'E_NO_DATA',
      where: 'data',
      fix: 'set data.tokens (from mm tokenize) or data.path',
    });
  }
  const scope: Scope = { ...options, config, codec, context };
  const isTokens = tokens !== undefined || (await isTokenFolder(source));
  const set = await (isTokens ? openTokens(source, scope) : openImages(source, scope));
  if ('manifest' in set) return openLarge(set, scope);
  const all =
    validationPath === undefined ? set : withValidation(set, await readValidation(validationPath, scope));
  const { training, heldOut } = splitDataset(all, validation);
  const cut = { count: options.checkCaptions(all), of: 'all' } as const;
  return { training: inMemory(training), heldOut, cut, hash: datasetHash(all) };
}

async function openLarge({ path, manifest, cut, copies }: LargeSet, scope: Scope): Promise<OpenedExamples> {
  const { config, context, maxHeldOut, checkCaptions } = scope;
  const { validationPath, validation, shuffle } = config.data;
  const share = validationPath === undefined ? validation : 0;
  const heldOut =
    validationPath === undefined
      ? await heldOutTokens(path, manifest, share, maxHeldOut)
      : await readValidation(validationPath, scope, maxHeldOut);
  const training = shardedTokens(path, manifest, {
    share,
    // A batch and those in flight reach over two windows at most.
    buffer: Math.max(shuffle.buffer, 2 * config.train.batch),
    ...(copies !== undefined && { copies }),
    faults: context.faults,
  });
  context.log.info(
    `${counted(manifest.images, 'image')} in ${counted(manifest.shards.length, 'token shard')}, read shard by shard; ${shuffle.buffer} are shuffled at a time`,
  );
  return {
    training,
    heldOut,
    cut: cut === undefined ? { count: checkCaptions(heldOut), of: 'heldOut' } : { count: cut, of: 'all' },
    hash: tokensHash(manifest),
  };
}

async function openTokens(path: string, scope: Scope): Promise<LargeSet | TokenizedDataset> {
  const { config, codec, dvae } = scope;
  const manifest = await readFinishedManifest(path);
  if (manifest.images <= config.data.shuffle.whole) return readShards(path, scope);
  assertSameDvae({ dvaeHash: manifest.dvae }, codec.hash, dvae.path);
  assertMayBeCut(config, path);
  return { path, manifest };
}

/** Encodes images: a small set in memory, a large one into the cache folder. */
async function openImages(path: string, scope: Scope): Promise<LargeSet | TokenizedDataset> {
  const { config, context, checkCaptions } = scope;
  const { weights, table, shuffle } = config.data;
  const { faults, signal } = context;
  const source = await openSource(path, { weights });
  const counts = await countsOfLarge(source, shuffle.whole, context);
  const read = { captions: 'required', faults, signal } as const;
  if (counts !== undefined) {
    assertMayBeCut(config, path);
    const images = await indexedParts(source, counts, { ...read, table });
    return encodeToShards({ source, images, list: undefined }, scope);
  }
  const list = await readTrainingImages({ path, weights, table }, read);
  if (list.length <= shuffle.whole) return encodeToMemory(list, scope.codec, { path, faults }, context);
  const [keys, captions] = [list.map(({ key }) => key), list.map((image) => image.captions)];
  const cut = checkCaptions({ keys, captions });
  return { ...(await encodeToShards({ source, images: indexedList(list, source.base), list }, scope)), cut };
}

async function encodeToShards(
  images: Pick<CachedTokenOptions, 'source' | 'images' | 'list'>,
  { config: { data }, codec, context }: Scope,
): Promise<LargeSet> {
  const { weights = [], table, shuffle } = data;
  const shardSize = Math.floor(shuffle.buffer / SHARDS_IN_WINDOW);
  const options = {
    settings: [weights, table],
    shardSize: Math.min(MAX_SHARD_SIZE, Math.max(IMAGES_PER_BATCH, shardSize)),
    faults: context.faults,
  };
  const made = await cachedTokens(codec, { ...images, ...options }, context);
  return { ...made, copies: Math.max(1, ...weights.map(Math.ceil)) };
}

function assertMayBeCut({ data }: DalleConfig, where: string): void {
  if (data.truncateCaptions) return;
  throw new UsageError('the captions of so many images are not checked before training', {
    code: 'E_CAPTIONS_NOT_CHECKED',
    where,
    fix: 'set data.truncateCaptions, so that one that is too long is cut; mm data check counts them',
  });
}

/**
 * A separate validation source, in memory.
 * @param max examples that are used, at most; all of them without it
 */
async function readValidation(path: string, scope: Scope, max?: number): Promise<TokenizedDataset> {
  const { config, codec, dvae, context } = scope;
  const { table, shuffle } = config.data;
  const { faults, signal } = context;
  if (!(await isTokenFolder(path))) {
    const list = await readTrainingImages({ path, table }, { captions: 'required', faults, signal });
    return encodeToMemory(list, codec, { path, faults, max }, context);
  }
  const manifest = await readFinishedManifest(path);
  if (max === undefined || manifest.images <= shuffle.whole) return readShards(path, scope);
  assertSameDvae({ dvaeHash: manifest.dvae }, codec.hash, dvae.path);
  return heldOutTokens(path, manifest, 1, max);
}

/** Token shards in memory. */
async function readShards(
  path: string,
  { codec, dvae, context: { faults } }: Scope,
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
