// Several sources as one.

import { basename, resolve, sep } from 'node:path';
import type { CaptionedImage } from '../image.ts';
import type { Source, SourcePart } from './source.ts';

/**
 * The parts of all sources, one source after the other. Where there are several, the keys of a source's images begin with
 * its name, and its number where another has the same.
 */
export function mixSources(path: string, sources: readonly Source[], weights?: readonly number[]): Source {
  const names = sources.map(({ path: one }) => basename(resolve(one)));
  const prefixes = names.map((name, i) => (names.indexOf(name) === i ? name : `${name}-${i + 1}`));
  const isMix = sources.length > 1;
  return {
    path,
    base: commonFolder(sources.map(({ base }) => base)),
    parts: sources.flatMap(({ parts }, i) =>
      parts.map((part) =>
        changed(part, weights?.[i], (image) => ({
          ...image,
          ...(isMix && { key: `${prefixes[i]}/${image.key}` }),
          ...(weights && { weight: weights[i] as number }),
        })),
      ),
    ),
  };
}

const changed = (
  part: SourcePart,
  weight: number | undefined,
  change: (image: CaptionedImage) => CaptionedImage,
): SourcePart => ({
  path: part.path,
  access: part.access,
  weight,
  read: async (options) => {
    const { images, close } = await part.read(options);
    return { images: images.map(change), close };
  },
});

/** The deepest folder that holds all of some paths. */
export function commonFolder(paths: readonly string[]): string {
  const parts = paths.map((path) => resolve(path).split(sep));
  const first = parts[0] as string[];
  const length = first.findIndex((part, i) => !parts.every((other) => other[i] === part));
  return first.slice(0, length < 0 ? first.length : length).join(sep) || sep;
}
