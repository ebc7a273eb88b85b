// Sizes that follow from the dVAE's configuration.

import type { DvaeModelConfig, OpenaiDvaeConfig } from '../../config/dvae.ts';

/** Halvings of an image's sides on the way to its codes. */
function halvings(config: DvaeModelConfig): number {
  switch (config.architecture) {
    case 'openai':
      return config.groups - 1;
    case 'dalle-pytorch':
      return config.layers;
    case 'vqgan':
      return config.levelChannels.length - 1;
    default:
      return config satisfies never;
  }
}

/** Codes on a side of an image. */
export const codeGrid = (config: DvaeModelConfig): number => config.imageSize / 2 ** halvings(config);

/** Channels of each group: hiddenChannels × 1, 2, 4, … in the encoder, the reverse in the decoder. */
export function groupWidths(config: OpenaiDvaeConfig): { encoder: number[]; decoder: number[] } {
  const encoder = Array.from({ length: config.groups }, (_, group) => config.hiddenChannels * 2 ** group);
  return { encoder, decoder: encoder.toReversed() };
}

/** Factor on each resblock's output, 1 / (number of resblocks)², so that training starts near the identity. */
export const postGain = (config: OpenaiDvaeConfig): number =>
  1 / (config.groups * config.blocksPerGroup) ** 2;
