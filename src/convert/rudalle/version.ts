// The version of a ruDALL-E (`hf_version` of the package `rudalle`). Version 2 (Emojich, the first Malevich) puts a start
// token before the text, counts places in attention from the predicted token and lets the neighbourhood of its last layer
// continue at the opposite side of the image. The shapes of both are the same.

import { basename, dirname, resolve } from 'node:path';
import { UsageError } from '../../util/errors.ts';
import type { ConvertOptions } from '../external.ts';
import type { StateDict } from '../tensors.ts';

export type RudalleVersion = NonNullable<ConvertOptions['rudalle']>;

/** In names of files, and of their folders: those of the published repositories. */
const BY_NAME: readonly (readonly [pattern: RegExp, version: RudalleVersion])[] = [
  [/(?<![a-z\d])v2(?!\d)/i, 'v2'],
  [/(?<![a-z\d])v3(?!\d)/i, 'v3'],
  [/emojich/i, 'v2'],
  [/surrealist|kandinsky/i, 'v3'],
];

/** Side of the square of the last layer's attention; a constant of the package. */
export const KERNEL_SIZE = 11;

/**
 * Given, of the masks in a state dictionary that a program saved, or of the files' names, which is noted.
 * @throws UsageError E_RUDALLE_VERSION where nothing says it
 */
export async function versionOf(
  tensors: StateDict,
  { grid, textPositions }: { readonly grid: number; readonly textPositions: number },
  { rudalle: given }: ConvertOptions,
  where: string,
  notes: string[],
): Promise<RudalleVersion> {
  if (given) return given;
  const mask = tensors.get('transformer.conv_mask');
  if (mask && grid - 1 > Math.floor(KERNEL_SIZE / 2)) {
    // Whether the last image token of the first row attends to the first one.
    const { data } = await mask.rows(textPositions + grid - 1, 1).read();
    return Number(data[textPositions]) === 0 ? 'v3' : 'v2';
  }
  const path = resolve(where);
  for (const name of [basename(path), basename(dirname(path))])
    for (const [pattern, version] of BY_NAME) {
      if (!pattern.test(name)) continue;
      notes.push(`taken as version ${version} of ruDALL-E by the name ${name}; see \`rudalle\``);
      return version;
    }
  throw new UsageError('nothing says the version of this ruDALL-E, and weights of both look alike', {
    code: 'E_RUDALLE_VERSION',
    option: 'rudalle',
    where,
    fix: 'set `rudalle` to v3 (Malevich since January 2022, Surrealist XL, Kandinsky) or v2 (Emojich, the first Malevich)',
  });
}
