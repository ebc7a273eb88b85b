// A grid of original images beside their reconstructions by a dVAE.

import { imageGrid } from './grid.ts';
import type { GridCell } from './grid-layout.ts';

const MAX_PAIRS = 16;
const PAIRS_PER_ROW = 4;

/**
 * Renders the first pairs, at most `maxPairs`, as a PNG.
 * @param originals RGB, images × imageSize × imageSize × 3
 * @param reconstructions of the same shape
 * @throws RangeError when the two differ in length, or do not hold whole images
 */
export async function reconstructionGrid(
  originals: Uint8Array,
  reconstructions: Uint8Array,
  imageSize: number,
  maxPairs = MAX_PAIRS,
): Promise<Buffer> {
  const length = imageSize * imageSize * 3;
  if (originals.length !== reconstructions.length || originals.length % length !== 0) {
    throw new RangeError(
      `expected two batches of ${imageSize} × ${imageSize} × 3 values, received ${originals.length} and ${reconstructions.length}`,
    );
  }
  const image = (batch: Uint8Array, index: number): GridCell => ({
    pixels: batch.subarray(index * length, (index + 1) * length),
    width: imageSize,
    height: imageSize,
  });
  const pairs = Math.min(maxPairs, originals.length / length);
  const cells = Array.from({ length: pairs }, (_, index) => [
    image(originals, index),
    image(reconstructions, index),
  ]).flat();
  const inRow = Math.min(PAIRS_PER_ROW, pairs);
  return imageGrid(cells, {
    columns: 2 * inRow,
    columnLabels: Array.from({ length: inRow }, () => ['original', 'reconstruction']).flat(),
  });
}
