// Token shards in the cache folder, of images that a training run encodes by itself: made once for the same images and
// the same dVAE, and continued where they are unfinished.

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { CaptionedImage } from '../../data/image.ts';
import type { IndexedSource } from '../../data/shards/indexed-source.ts';
import type { Faults } from '../../data/sources/faults.ts';
import type { Source } from '../../data/sources/source.ts';
import { temporaryFile } from '../../data/sources/spool.ts';
import { isUrl } from '../../data/sources/streams.ts';
import { MANIFEST, readManifest, type TokenManifest } from '../../data/tokens/manifest.ts';
import { withFileLock } from '../../engine/library/file-lock.ts';
import { cacheFolder } from '../../engine/library/locate.ts';
import { mapConcurrently } from '../../util/concurrent.ts';
import { counted } from '../../util/counted.ts';
import type { JobContext } from '../../util/job.ts';
import type { DvaeCodec } from '../dvae/codec.ts';
import { finished, tokenizeSource } from './tokenize.ts';

/** Bound on files examined at a time. */
const MAX_OPEN = 16;

export interface CachedTokenOptions {
  readonly source: Source;
  readonly images: IndexedSource;
  /** The images where they are listed in memory. */
  readonly list: readonly CaptionedImage[] | undefined;
  /** What else decides keys and captions: the `data` section. */
  readonly settings: unknown;
  readonly shardSize: number;
  readonly faults: Faults;
}

/**
 * The folder of token shards of a source, made first where it is not there. Images without a caption that `faults` knows
 * are left out. Of several processes that want the same, one makes it and the others wait. What a pipe sends is encoded
 * into temporary storage: it cannot be compared.
 * @throws as `tokenizeFolder` does
 */
export async function cachedTokens(
  codec: DvaeCodec,
  { source, images, list, settings, shardSize, faults }: CachedTokenOptions,
  context: JobContext,
): Promise<{ readonly path: string; readonly manifest: TokenManifest }> {
  const { log, signal } = context;
  const isPipe = source.parts.some(({ access }) => access === 'once');
  const identity = [codec.hash, images.hash, await datesOf(source, list), settings, shardSize];
  const key = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const path = isPipe ? temporaryFile() : join(cacheFolder(), 'tokens', key);
  const onWait = (pid: number): void => log.info(`waiting for process ${pid}, which encodes the same images`);
  return withFileLock(path, { signal, onWait }, async () => {
    const known = await readManifest(join(path, MANIFEST));
    if (known) {
      const left = known.shards.reduce((sum, { skipped }) => sum + skipped.length, 0);
      log.info(`${counted(known.images, 'image')} encoded before, into ${path}; ${left} left out`);
      return { path, manifest: known };
    }
    log.info(`${images.total} images are encoded into token shards first, which stay in ${path}`);
    const continuation = 'run the same command again: the shards that are finished are not made again';
    const options = { out: path, shardSize, resume: true, faults, continuation };
    const { folder } = await tokenizeSource(images, [codec], options, context);
    return { path, manifest: finished(folder, source.path).manifest };
  });
}

/** A hash of where the files are that images come from, and when they were changed. */
async function datesOf({ parts }: Source, list: readonly CaptionedImage[] | undefined): Promise<string> {
  const files = [
    ...parts.map(({ path }) => path),
    ...(list ?? []).flatMap(({ path, region }) => (region ? [] : [path])),
  ];
  const dates = await mapConcurrently(files, MAX_OPEN, async (path) =>
    isUrl(path)
      ? 0
      : await stat(path).then(
          ({ mtimeMs }) => mtimeMs,
          () => 0,
        ),
  );
  const hash = createHash('sha256');
  for (const [i, path] of files.entries()) hash.update(`${isUrl(path) ? path : resolve(path)} ${dates[i]}\n`);
  return hash.digest('hex');
}
