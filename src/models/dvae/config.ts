// Sizes that follow from the dVAE's configuration.

import type { DvaeModelConfig } from '../../config/dvae.ts';
import { UsageError } from '../../util/errors.ts';

/**
 * Codes on a side of a picture.
 * @throws UsageError when the pooling does not divide the picture
 */
export function codeGrid(config: DvaeModelConfig): number {
  const { imageSize, groups } = config;
  const factor = 2 ** (groups - 1);
  if (imageSize % factor !== 0) {
    throw new UsageError(`model.imageSize ${imageSize} is not a multiple of ${factor}`, {
      where: 'model.imageSize',
      fix: `${groups} groups halve the picture ${groups - 1} times: use ${Math.ceil(imageSize / factor) * factor}, or fewer groups`,
    });
  }
  return imageSize / factor;
}

/** Channels of each group: hidden × 1, 2, 4, … in the encoder, the same backwards in the decoder. */
export function groupWidths(config: DvaeModelConfig): { encoder: number[]; decoder: number[] } {
  const encoder = Array.from({ length: config.groups }, (_, group) => config.hidden * 2 ** group);
  return { encoder, decoder: encoder.toReversed() };
}

/** Factor on each resblock's output, 1/(number of resblocks)², so that training starts near the identity. */
export const postGain = (config: DvaeModelConfig): number => 1 / (config.groups * config.blocksPerGroup) ** 2;
