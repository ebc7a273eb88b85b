// Captioned images as codes in memory: of token shards, or encoded before the training begins.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { DalleConfig } from '../../config/dalle.ts';
import { chunks, decodeBatches } from '../../data/decode-batches.ts';
import { captionsOf } from '../../data/sources/captions.ts';
import type { Faults } from '../../data/sources/faults.ts';
import { readImages } from '../../data/sources/resolve.ts';
import { split } from '../../data/split.ts';
import { checkDvae } from '../../data/tokens/check.ts';
import { readTokenFolder } from '../../data/tokens/read.ts';
import type { DvaeCodec } from '../../inference/dvae/codec.ts';
import { DataError, InterruptedError, UsageError } from '../../util/errors.ts';
import type { RunContext } from '../loop/run-context.ts';

/** Images by their codes, with captions. */
export interface TokenizedDataset {
  readonly keys: readonly string[];
  /** A line for each caption of an image. */
  readonly captions: readonly string[];
  /** images × grid² */
  readonly codes: Uint16Array;
}

/** Images encoded at a time. */
const BATCH = 32;

/**
 * What the configuration says to train on.
 * @throws UsageError when that is nothing; DataError for shards of another dVAE or without captions, and as the data do
 */
export async function readCodes(
  { data: { tokens, path } }: DalleConfig,
  codec: DvaeCodec,
  dvae: Checkpoint,
  faults: Faults,
  context: RunContext,
): Promise<TokenizedDataset> {
  if (tokens !== undefined) return readShards(tokens, codec, dvae);
  if (path !== undefined) return encodeImages(path, codec, faults, context);
  throw new UsageError('there is nothing to train on', {
    where: 'data',
    fix: 'set data.tokens (from mm tokenize) or data.path',
  });
}

async function readShards(path: string, codec: DvaeCodec, dvae: Checkpoint): Promise<TokenizedDataset> {
  const set = await readTokenFolder(path);
  checkDvae(set, codec.hash, dvae.path);
  const missing = set.captions.indexOf(undefined);
  if (missing >= 0) {
    throw new DataError('an image has no caption', {
      where: `${path}: ${set.keys[missing]}`,
      fix: 'add the .txt beside it and tokenize again',
    });
  }
  return set as TokenizedDataset;
}

async function encodeImages(
  path: string,
  codec: DvaeCodec,
  faults: Faults,
  { progress, signal }: RunContext,
): Promise<TokenizedDataset> {
  const images = await readImages(path, { captions: 'required' });
  const keys: string[] = [];
  const captions: string[] = [];
  const parts: Uint16Array[] = [];
  const size = { size: codec.config.imageSize, grid: codec.grid };
  let done = 0;
  progress.start('tokenizing', images.length);
  for await (const batch of decodeBatches(chunks(images, BATCH), size, faults)) {
    if (signal.aborted) {
      throw new InterruptedError('stopped while tokenizing', {
        where: path,
        fix: 'mm tokenize keeps its work; train with data.tokens',
      });
    }
    if (batch.images.length > 0) parts.push(Uint16Array.from(await codec.encode(batch.pixels)));
    keys.push(...batch.images.map(({ key }) => key));
    captions.push(...batch.images.map((image) => captionsOf(image).join('\n')));
    done += batch.all.length;
    progress.update(done);
  }
  progress.stop();
  const codes = new Uint16Array(keys.length * codec.grid ** 2);
  let at = 0;
  for (const part of parts) {
    codes.set(part, at);
    at += part.length;
  }
  return { keys, captions, codes };
}

/** Those to train on and those held out, as `split` has it. */
export function splitCodes(
  { keys, captions, codes }: TokenizedDataset,
  share: number,
): { training: TokenizedDataset; heldOut: TokenizedDataset } {
  const length = codes.length / keys.length;
  const select = (examples: readonly { readonly index: number }[]): TokenizedDataset => {
    const selected = new Uint16Array(examples.length * length);
    for (const [to, { index }] of examples.entries())
      selected.set(codes.subarray(index * length, (index + 1) * length), to * length);
    return {
      keys: examples.map(({ index }) => keys[index] as string),
      captions: examples.map(({ index }) => captions[index] as string),
      codes: selected,
    };
  };
  const { training, heldOut } = split(
    keys.map((key, index) => ({ key, index })),
    share,
  );
  return { training: select(training), heldOut: select(heldOut) };
}
