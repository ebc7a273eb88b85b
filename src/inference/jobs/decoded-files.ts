// The images of token shards, decoded by their dVAE into temporary storage, where every program part reads images.

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpoint } from '../../checkpoint/read.ts';
import type { ClassedImage } from '../../data/sources/labelled.ts';
import { temporaryFile } from '../../data/sources/spool.ts';
import { assertSameDvae } from '../../data/tokens/check.ts';
import { readFinishedManifest, readSamples } from '../../data/tokens/read.ts';
import { Runtime } from '../../engine/session/runtime.ts';
import { encodePng } from '../../report/images/png.ts';
import { InterruptedError } from '../../util/errors.ts';
import { storageError } from '../../util/files.ts';
import type { JobContext } from '../../util/job.ts';
import { DvaeCodec } from '../dvae/codec.ts';

/** Images decoded in one run. */
const IMAGES_PER_BATCH = 32;

/**
 * Decodes every image of a folder that `mm tokenize` finished. Each is a PNG in one temporary file, which is gone when
 * the program ends; its path in messages is that of the folder and its key.
 * @param dvae checkpoint or run of the dVAE that made the codes
 * @throws DataError for a damaged folder, another dVAE, or a full disk; InterruptedError
 */
export async function decodeToFiles(
  path: string,
  dvae: string,
  { log, progress, signal }: JobContext,
): Promise<ClassedImage[]> {
  const checkpoint = await readCheckpoint(dvae, { kind: 'dvae', warn: (message) => log.warn(message) });
  const manifest = await readFinishedManifest(path);
  const runtime = new Runtime();
  try {
    const codec = await DvaeCodec.open(runtime, checkpoint);
    assertSameDvae({ dvaeHash: manifest.dvae }, codec.hash, checkpoint.path);
    const { imageSize } = codec.config;
    const length = imageSize ** 2 * 3;
    const file = temporaryFile();
    const written = await open(file, 'wx', 0o600).catch((error: unknown) => {
      throw storageError(error, file);
    });
    const found: ClassedImage[] = [];
    let offset = 0;
    progress.start('decoding tokens', manifest.images);
    try {
      for (const shard of manifest.shards) {
        const samples = await readSamples(path, shard, manifest);
        for (let start = 0; start < samples.length; start += IMAGES_PER_BATCH) {
          if (signal.aborted)
            throw new InterruptedError('stopped while decoding tokens', {
              code: 'E_INTERRUPTED',
              where: path,
            });
          const batch = samples.slice(start, start + IMAGES_PER_BATCH);
          const pixels = await codec.decode(Int32Array.from(batch.flatMap(({ codes }) => [...codes])));
          for (const [i, { key, file: origin, label }] of batch.entries()) {
            const png = await encodePng(pixels.subarray(i * length, (i + 1) * length), imageSize, imageSize);
            await written.writeFile(png).catch((error: unknown) => {
              throw storageError(error, file);
            });
            found.push({
              ...{ path: join(path, key), region: { path: file, offset, length: png.length }, key },
              ...(label !== undefined && { label }),
              isArchived: /\.(tar|tar\.gz|tgz|parquet)\//i.test(origin),
            });
            offset += png.length;
          }
          progress.update(found.length);
        }
      }
    } finally {
      progress.stop();
      await written.close();
    }
    return found;
  } finally {
    await runtime.close();
  }
}
