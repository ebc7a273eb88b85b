// Sizes that follow from the VQGAN's configuration.

import type { VqganConfig } from '../../config/vqgan.ts';

/** A level of the encoder or the decoder, which all work at one size of the image. */
export interface Level {
  /** From 1, the full image, on. */
  readonly level: number;
  /** Channels that come in, and channels of its resblocks. */
  readonly inputs: number;
  readonly channels: number;
  readonly hasAttention: boolean;
}

function level(config: VqganConfig, index: number, inputs: number): Level {
  const { levelChannels, attentionLevels } = config;
  return {
    level: index + 1,
    inputs,
    channels: levelChannels[index] as number,
    hasAttention: attentionLevels.includes(index + 1),
  };
}

/** The levels of the encoder, the full image first. */
export const encoderLevels = (config: VqganConfig): Level[] =>
  config.levelChannels.map((_, i, channels) => level(config, i, channels[i - 1] ?? config.hiddenChannels));

/** The levels of the decoder in the same order; it runs through them from the last to the first. */
export const decoderLevels = (config: VqganConfig): Level[] =>
  config.levelChannels.map((own, i, channels) => level(config, i, channels[i + 1] ?? own));
