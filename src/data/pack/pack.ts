// Packs any source of images as WebDataset tars: KEY.jpg with KEY.txt, a caption on each line, and KEY.json, which says
// where the image came from. The folder has its name once all of it is there; until then, it is resumed from the last
// finished shard.

import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../util/errors.ts';
import { assertNewFolder, storageError } from '../../util/files.ts';
import type { JobContext } from '../../util/job.ts';
import { openSource } from '../sources/open-source.ts';
import { areSameSettings, PACK_MANIFEST, type PackManifest, readManifest } from './manifest.ts';
import { Packing, type PackOptions } from './packing.ts';

/**
 * Packs a source into the folder `out`.
 * @throws UsageError when `out` is there, or another run left its work and `resume` is not set
 * @throws DataError when the source or the storage cannot be used, no image is left, or a resumed source has changed
 * @throws InterruptedError when `signal` is aborted; finished shards are kept
 */
export async function packData(options: PackOptions, context: JobContext): Promise<PackManifest> {
  const { data, out } = options;
  const work = `${out}.partial`;
  const source = await openSource(data);
  const previous = await openWork(work, options);
  const packing = new Packing(work, options, context, previous);
  try {
    for (const [i, part] of source.parts.entries())
      await packing.part(
        part,
        source,
        source.parts.length > 1 ? ` (${i + 1} of ${source.parts.length})` : '',
      );
    const manifest = await packing.finish();
    await rename(work, out);
    return manifest;
  } catch (error) {
    throw storageError(error, out);
  } finally {
    context.progress.stop();
    await packing.abandon();
  }
}

/** Checks the folder and its work; returns the manifest of the finished shards, where there are some to keep. */
async function openWork(
  work: string,
  { out, data, settings, resume }: PackOptions,
): Promise<PackManifest | undefined> {
  await assertNewFolder(out);
  const previous = await readManifest(join(work, PACK_MANIFEST));
  if (previous && !resume) {
    throw new UsageError('an interrupted run left its work', {
      code: 'E_FOLDER_NOT_EMPTY',
      where: work,
      fix: 'set `resume` to continue it, or remove the folder',
    });
  }
  if (previous && (previous.source !== data || !areSameSettings(previous.settings, settings))) {
    throw new UsageError('the interrupted run had another source or other settings', {
      code: 'E_LAYOUT_DIFFERS',
      where: join(work, PACK_MANIFEST),
      fix: 'give the same ones, or remove the folder',
    });
  }
  return previous;
}
