// Token shards decoded to images.

import { join } from 'node:path';
import { assertSameDvae } from '../../data/tokens/check.ts';
import { readTokenFolder } from '../../data/tokens/read.ts';
import { imageGrid } from '../../report/images/grid.ts';
import type { GridCell } from '../../report/images/grid-layout.ts';
import { writePng } from '../../report/images/png.ts';
import type { DvaeCodec } from '../dvae/codec.ts';
import { codebookMetrics, codebookUse } from '../measures/codebook.ts';

export interface DecodeTokensOptions {
  /** Images in the grid. */
  readonly show: number;
  /** Folder for a PNG of each image, named by its key; without it, none is written. */
  readonly images: string | undefined;
  /** The dVAE's checkpoint, for messages. */
  readonly dvae: string;
  /** Called once with the number of images, then with the number done so far. */
  readonly onStart: (total: number) => void;
  readonly onProgress: (done: number) => void;
  readonly signal: AbortSignal;
}

/** Images decoded in one run. */
const IMAGES_PER_BATCH = 32;
const COLUMNS = 8;

/**
 * Decodes every image of a folder of token shards.
 * @returns a PNG of the first images with their captions, and metrics of the codes
 * @throws DataError when the folder is damaged, or another dVAE made it (names both hashes)
 */
export async function decodeTokens(path: string, codec: DvaeCodec, options: DecodeTokensOptions) {
  const { show, images, dvae, onStart, onProgress, signal } = options;
  const set = await readTokenFolder(path);
  assertSameDvae(set, codec.hash, dvae);
  const { imageSize, vocabulary } = codec.config;
  const [codesEach, bytesEach] = [set.grid ** 2, imageSize ** 2 * 3];
  const cells: GridCell[] = [];
  // Without a folder for the images, only those of the grid are decoded.
  const total = images === undefined ? Math.min(show, set.keys.length) : set.keys.length;
  onStart(total);
  for (let start = 0; start < total; start += IMAGES_PER_BATCH) {
    signal.throwIfAborted();
    const end = Math.min(total, start + IMAGES_PER_BATCH);
    const decoded = await codec.decode(
      Int32Array.from(set.codes.subarray(start * codesEach, end * codesEach)),
    );
    for (let i = start; i < end; i++) {
      const pixels = decoded.subarray((i - start) * bytesEach, (i - start + 1) * bytesEach);
      const [caption] = set.captions[i] as readonly string[];
      if (cells.length < show)
        cells.push({
          pixels,
          width: imageSize,
          height: imageSize,
          ...(caption !== undefined && { caption }),
        });
      if (images !== undefined)
        await writePng(join(images, `${safePath(set.keys[i] as string)}.png`), pixels, imageSize, imageSize);
    }
    onProgress(end);
  }
  return {
    grid: await imageGrid(cells, { columns: Math.min(COLUMNS, cells.length) }),
    totals: {
      images: set.keys.length,
      ...codebookMetrics(codebookUse([set.codes], vocabulary), vocabulary),
    },
  };
}

/** A key as a relative path that cannot leave its folder. */
const safePath = (key: string): string =>
  key
    .split(/[/\\]/)
    .filter((part) => !/^\.*$/.test(part))
    .join('/') || 'image';
