// Whether a source is read shard by shard, and the images that each of its parts has then.

import { stat } from 'node:fs/promises';
import { cacheFolder } from '../../engine/library/locate.ts';
import { InterruptedError } from '../../util/errors.ts';
import type { JobContext } from '../../util/job.ts';
import { packedCounts } from '../pack/manifest.ts';
import { Faults } from '../sources/faults.ts';
import { readPart } from '../sources/resolve.ts';
import type { Source, SourcePart } from '../sources/source.ts';
import { isUrl } from '../sources/streams.ts';
import { imageCounts } from './image-counts.ts';

/** Fewer bytes of a tar hold no image: a header, and contents in blocks of 512. Packed, or in a list, it may be less. */
const MIN_BYTES = { tar: 1024, other: 32 } as const;

/**
 * Images in each part of a source of more than `whole` images, which is read part by part; undefined for a smaller one,
 * and for one that cannot be read in parts at any time: of a single part, or with a pipe. Parts are counted once; the
 * counts stay in the cache folder. A damaged part has none, and that is said.
 * @throws DataError when a part cannot be read; InterruptedError
 */
export async function countsOfLarge(
  source: Source,
  whole: number,
  context: JobContext,
): Promise<Int32Array | undefined> {
  if (!(await mayBeLarge(source, whole, context.signal))) return undefined;
  const counts = await count(source, context);
  return counts.reduce((sum, images) => sum + images, 0) > whole ? counts : undefined;
}

/** Whether a source has several parts that can be read again, and bytes for more images than stay in memory. */
async function mayBeLarge({ parts }: Source, whole: number, signal: AbortSignal): Promise<boolean> {
  if (parts.length < 2 || parts.some(({ access }) => access === 'once')) return false;
  let images = 0;
  for (const { path } of parts) {
    const least = /\.tar$/i.test(path) ? MIN_BYTES.tar : MIN_BYTES.other;
    images += (await bytesOf(path, signal)) / least;
    if (images > whole) return true;
  }
  return false;
}

/** Bytes of a file, or of what an address leads to, where its server says it. */
async function bytesOf(path: string, signal: AbortSignal): Promise<number> {
  if (!isUrl(path)) return (await stat(path).catch(() => ({ size: 0 }))).size;
  const response = await fetch(path, { method: 'HEAD', signal }).catch(() => undefined);
  const length = response?.ok ? response.headers.get('content-length') : null;
  return length === null ? Number.POSITIVE_INFINITY : Number(length);
}

async function count({ path, parts }: Source, { progress, signal, log }: JobContext): Promise<Int32Array> {
  const byPath = new Map(parts.map((part) => [part.path, part]));
  const packed = await packedCounts([...byPath.keys()]);
  const faults = new Faults();
  const countPart = async (part: SourcePart): Promise<number> => {
    const { images, close } = await readPart(part, { captions: 'ignore', faults, signal }, true);
    await close();
    return images.length;
  };
  let isStarted = false;
  const counts = await imageCounts(
    parts.map((part) => part.path),
    {
      cache: cacheFolder(),
      count: async (shard) => {
        if (signal.aborted) throw interrupted(path);
        return packed.get(shard) ?? countPart(byPath.get(shard) as SourcePart);
      },
      onProgress: (done, total) => {
        if (!isStarted) progress.start('counting images', total);
        isStarted = true;
        progress.update(done);
      },
    },
  ).finally(() => {
    if (isStarted) progress.stop();
  });
  for (const { examples } of faults.counts.filter(({ kind }) => /^cut-archive$|^damaged-list$/.test(kind)))
    for (const { where, reason } of examples) if (byPath.has(where)) log.warn(`skipping ${where}: ${reason}`);
  const empty = counts.filter((images) => images === 0).length;
  if (empty > 0) log.warn(`${empty} of ${parts.length} shards of ${path} hold no image`);
  return counts;
}

const interrupted = (where: string): InterruptedError =>
  new InterruptedError('stopped while counting images', {
    code: 'E_INTERRUPTED',
    where,
    fix: 'run it again: the shards counted so far are not counted again',
  });
