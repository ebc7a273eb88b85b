// The caption files of a folder: which belong to which image, and what is in them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrently } from '../../util/concurrent.ts';
import type { CaptionedImage } from '../image.ts';
import { EncodingError, findCaptions } from './captions.ts';
import { type CaptionExtension, extensionOf, normalized, stemOf } from './endings.ts';
import type { Faults, Finding } from './faults.ts';

/** Bound on images whose caption files are open. */
const MAX_OPEN = 32;
/** Images whose captions are read at a time. */
const IMAGES_PER_READ = 4096;

/** The caption files of one stem; names relative to the folder. */
export type CaptionFiles = Partial<Record<CaptionExtension, string>>;

/** Caption files by their stem in Unicode's composed form. */
export function groupCaptions(names: readonly string[]): Map<string, CaptionFiles> {
  const groups = new Map<string, CaptionFiles>();
  for (const name of names) {
    const stem = normalized(stemOf(name));
    const group = groups.get(stem) ?? {};
    group[extensionOf(name) as CaptionExtension] ??= name;
    groups.set(stem, group);
  }
  return groups;
}

/** What the caption files of one image have; `fault` is one that cannot be read, or is no text. */
export interface ReadCaptions {
  readonly found: Pick<CaptionedImage, 'captions' | 'lack' | 'label' | 'captionFile'>;
  readonly fault?: Finding;
}

async function readFound(path: string, files: CaptionFiles): Promise<ReadCaptions> {
  const { extension, reason, ...found } = await findCaptions(files, async (name) => {
    try {
      return await readFile(join(path, name));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new EncodingError(`the file cannot be read (${code})`, { cause: error });
    }
  });
  const name = extension && files[extension];
  if (name === undefined) return { found };
  const where = join(path, name);
  return {
    found: { ...found, captionFile: where },
    ...(reason !== undefined && { fault: { kind: 'unreadable-caption', where, reason } }),
  };
}

/** What the caption files of each image have, in their order; many are read at a time. */
export async function* readEach(path: string, files: readonly CaptionFiles[]): AsyncGenerator<ReadCaptions> {
  for (let start = 0; start < files.length; start += IMAGES_PER_READ) {
    const some = files.slice(start, start + IMAGES_PER_READ);
    yield* await mapConcurrently(some, MAX_OPEN, (ofImage) => readFound(path, ofImage));
  }
}

/**
 * The caption files of each image: those of its name beside it, else those of its path below the first folder, else
 * those of its file name, where one image and one caption have it (images/a.jpg and text/a.txt).
 */
export function matchCaptions(
  path: string,
  images: readonly string[],
  captions: ReadonlyMap<string, CaptionFiles>,
  faults?: Faults,
): CaptionFiles[] {
  const stems = images.map((name) => normalized(stemOf(name)));
  const left = new Map(captions);
  for (const stem of stems) left.delete(stem);
  const found = stems.map((stem) => captions.get(stem));
  for (const tail of [belowFirst, fileName]) {
    const byTail = unique([...left.keys()], tail);
    const wanted = unique(
      stems.filter((_, i) => found[i] === undefined),
      tail,
    );
    for (const [i, stem] of stems.entries()) {
      const at = byTail.get(tail(stem));
      if (found[i] !== undefined || !at || !wanted.get(tail(stem))) continue;
      found[i] = left.get(at) as CaptionFiles;
      left.delete(at);
      faults?.record({ kind: 'caption-elsewhere', where: join(path, Object.values(found[i])[0] as string) });
    }
  }
  for (const files of left.values())
    for (const name of Object.values(files)) {
      // A .json beside nothing is a manifest or the like.
      const kind = extensionOf(name) === '.json' ? 'other-file' : 'orphan-caption';
      faults?.record({ kind, where: join(path, name) });
    }
  return found.map((files) => files ?? {});
}

const belowFirst = (stem: string): string => stem.slice(stem.indexOf('/') + 1);
const fileName = (stem: string): string => stem.slice(stem.lastIndexOf('/') + 1);

/** The stem of each tail that one stem alone has; undefined for a tail that several have. */
function unique(stems: readonly string[], tail: (stem: string) => string): Map<string, string | undefined> {
  const byTail = new Map<string, string | undefined>();
  for (const stem of stems) byTail.set(tail(stem), byTail.has(tail(stem)) ? undefined : stem);
  return byTail;
}
