// The data set of the joint Transformer in memory: read from token shards, or encoded before training starts.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { chunks } from '../../data/decode-batches.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { keepCaptioned } from '../../data/sources/keep-captioned.ts';
import { readImages } from '../../data/sources/resolve.ts';
import { splitExamples } from '../../data/split.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import { readTokenFolder } from '../../data/tokens/read.ts';
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
}

/**
 * Opens the data set of a configuration.
 * @throws UsageError when it names none
 * @throws DataError for shards of another dVAE or without captions, and about the data
 */
export async function openDataset(
  { data: { tokens, path } }: DalleConfig,
  codec: DvaeCodec,
  dvae: Checkpoint,
  faults: Faults,
  context: RunContext,
): Promise<TokenizedDataset> {
  if (tokens !== undefined) return readShards(tokens, codec, dvae, faults);
  if (path !== undefined) return encodeSource(path, codec, faults, context);
  throw new UsageError('there is nothing to train on', {
    code: 'E_NO_DATA',
    where: 'data',
    fix: 'set data.tokens (from mm tokenize) or data.path',
  });
}

async function readShards(
  path: string,
  codec: DvaeCodec,
  dvae: Checkpoint,
  faults: Faults,
): Promise<TokenizedDataset> {
  const { keys, captions, codes, ...set } = await readTokenFolder(path);
  assertSameDvae(set, codec.hash, dvae.path);
  const examples = keys.map((key, index) => ({
    index,
    key,
    path: `${path}: ${key}`,
    captions: captions[index] as readonly string[],
  }));
  const kept = keepCaptioned(examples, { captions: 'required', faults });
  faults.report(kept.length);
  return kept.length === keys.length ? { keys, captions, codes } : select({ keys, captions, codes }, kept);
}

async function encodeSource(
  path: string,
  codec: DvaeCodec,
  faults: Faults,
  { progress, signal }: RunContext,
): Promise<TokenizedDataset> {
  const source = await readImages(path, { captions: 'required', faults, signal });
  const interrupted = new InterruptedError('stopped while tokenizing', {
    code: 'E_INTERRUPTED',
    where: path,
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
  };
}

/** The examples at some indices. */
function select(
  { keys, captions, codes }: TokenizedDataset,
  examples: readonly { readonly index: number }[],
): TokenizedDataset {
  const length = codes.length / keys.length;
  const selected = new Uint16Array(examples.length * length);
  for (const [to, { index }] of examples.entries())
    selected.set(codes.subarray(index * length, (index + 1) * length), to * length);
  return {
    keys: examples.map(({ index }) => keys[index] as string),
    captions: examples.map(({ index }) => captions[index] as readonly string[]),
    codes: selected,
  };
}

/** Splits a data set into training and validation, as `splitExamples` does. */
export function splitDataset(
  dataset: TokenizedDataset,
  share: number,
): { training: TokenizedDataset; heldOut: TokenizedDataset } {
  const { training, heldOut } = splitExamples(
    dataset.keys.map((key, index) => ({ key, index })),
    share,
  );
  return { training: select(dataset, training), heldOut: select(dataset, heldOut) };
}
