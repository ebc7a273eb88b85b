// The images that a command line names.

import type { ImageFile } from '../data/image.ts';
import type { Faults } from '../data/sources/faults.ts';
import type { ClassedImage, LabelledImage } from '../data/sources/labelled.ts';
import type { ReadOptions } from '../data/sources/source.ts';
import { UsageError } from '../util/errors.ts';
import type { JobContext } from '../util/job.ts';

/** Decodes token shards, for commands that take them. */
export interface TokenDecoding {
  /** The dVAE that made them; undefined where none is given. */
  readonly dvae: string | undefined;
  readonly context: JobContext;
}

/**
 * The named images: files, and all images of folders, tars and lists; those of token shards are decoded.
 * @throws UsageError for token shards without a dVAE; DataError, InterruptedError
 */
export async function findImages(
  paths: readonly string[],
  faults: Faults,
  options: Pick<ReadOptions, 'table' | 'signal'>,
  tokens?: TokenDecoding,
): Promise<ImageFile[]> {
  const [{ readImages }, { isTokenFolder }] = await Promise.all([
    import('../data/sources/resolve.ts'),
    import('../data/tokens/read.ts'),
  ]);
  const found: ImageFile[] = [];
  for (const path of paths) {
    const images =
      tokens && (await isTokenFolder(path))
        ? await decoded(path, tokens)
        : await readImages(path, { ...options, captions: 'ignore', faults });
    for (const image of images) found.push(image);
  }
  return found;
}

/** The named images with their classes, by their folders (data/sources/labelled.ts). Throws as `findImages` does. */
export async function findClasses(
  paths: readonly string[],
  faults: Faults,
  options: Pick<ReadOptions, 'table' | 'signal'>,
  tokens: TokenDecoding,
): Promise<LabelledImage[]> {
  const [{ readClasses, withClasses }, { isTokenFolder }] = await Promise.all([
    import('../data/sources/labelled.ts'),
    import('../data/tokens/read.ts'),
  ]);
  const found: LabelledImage[] = [];
  for (const path of paths) {
    const images = (await isTokenFolder(path))
      ? withClasses(await decoded(path, tokens), path, faults)
      : await readClasses(path, faults, options);
    for (const image of images) found.push(image);
  }
  return found;
}

async function decoded(path: string, { dvae, context }: TokenDecoding): Promise<ClassedImage[]> {
  if (dvae === undefined) {
    throw new UsageError('these are token shards: codes of images, not images', {
      code: 'E_TOKENS_NOT_IMAGES',
      option: 'dvae',
      where: path,
      fix: 'name the dVAE that made them with `dvae`, and they are decoded',
    });
  }
  const { decodeToFiles } = await import('../inference/jobs/decoded-files.ts');
  return decodeToFiles(path, dvae, context);
}
