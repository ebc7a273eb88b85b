// Some images of token shards, decoded by their dVAE.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import { readFinishedManifest, readSamples } from '../../data/tokens/read.ts';
import { Runtime } from '../../engine/session/runtime.ts';
import { encodePng } from '../../report/images/png.ts';
import { InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { DvaeCodec } from '../dvae/codec.ts';

export interface DecodedImage {
  readonly png: Uint8Array;
  readonly caption: string | undefined;
}

/**
 * Decodes images by their keys.
 * @param shardOf the shard of each
 * @throws DataError for a damaged folder, or another dVAE; InterruptedError
 */
export async function decodeSome(
  path: string,
  shardOf: ReadonlyMap<string, number>,
  dvae: Checkpoint,
  { progress, signal }: JobContext,
): Promise<Map<string, DecodedImage>> {
  const manifest = await readFinishedManifest(path);
  const decoded = new Map<string, DecodedImage>();
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, dvae);
    assertSameDvae({ dvaeHash: manifest.dvae }, codec.hash, dvae.path);
    const { imageSize } = codec.config;
    progress.start('decoding', shardOf.size);
    for (const shard of new Set(shardOf.values())) {
      if (signal.aborted)
        throw new InterruptedError('stopped while decoding tokens', { code: 'E_INTERRUPTED', where: path });
      const record = manifest.shards[shard];
      if (record === undefined) continue;
      for (const { key, codes, captions } of await readSamples(path, record, manifest)) {
        if (shardOf.get(key) !== shard) continue;
        const pixels = await codec.decode(Int32Array.from(codes));
        decoded.set(key, { png: await encodePng(pixels, imageSize, imageSize), caption: captions[0] });
        progress.update(decoded.size);
      }
    }
  } finally {
    progress.stop();
    await runtime.close();
  }
  return decoded;
}
