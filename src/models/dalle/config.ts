// What follows from the joint Transformer's configuration: the stream, its padding and the layers' attention.

import type { AttentionKind, DalleModelConfig } from '../../config/dalle.ts';
import { attentionOrder, type StreamLayout } from '../../nn/attention-mask.ts';
import { DataError } from '../../util/errors.ts';

/** Image tokens of an image. */
export const imageLength = (config: DalleModelConfig): number => config.grid ** 2;

/** Input positions before the image: the start token and the text. */
export const prefixLength = (config: DalleModelConfig): number => config.textLength + 1;

/** Input positions: all of the stream but its last image token, which nothing comes after. */
export const streamLength = (config: DalleModelConfig): number => config.textLength + imageLength(config);

/** Channels of an attention head. */
export const headWidth = ({ width, heads, headWidth }: DalleModelConfig): number =>
  headWidth ?? width / heads;

/** Classes of the text's predictions: the vocabulary, and the end of the caption or every padding token. */
export const textClasses = ({ textVocabulary, textLength, paddingTargets }: DalleModelConfig): number =>
  textVocabulary + (paddingTargets === 'end' ? 1 : textLength);

/** The stream as the attention masks see it. */
export const streamLayout = (config: DalleModelConfig): StreamLayout => ({
  prefix: prefixLength(config),
  grid: config.grid,
  kernelSize: config.kernelSize,
});

/** The attention of each layer. */
export const layerAttention = (config: DalleModelConfig): AttentionKind[] =>
  attentionOrder(config.layers, config.attention, config.lastAttention);

/**
 * A caption's tokens, filled up to textLength: the padding of position t, counted from 0, is textVocabulary + t.
 * @throws DataError when there are more tokens than positions
 */
export function padCaption(tokens: ArrayLike<number>, config: DalleModelConfig): Int32Array {
  const { textLength, textVocabulary } = config;
  if (tokens.length > textLength) {
    throw new DataError(`a caption of ${tokens.length} tokens does not fit in ${textLength} text positions`, {
      fix: 'shorten or truncate the caption, or raise model.textLength',
    });
  }
  return Int32Array.from({ length: textLength }, (_, t) => tokens[t] ?? textVocabulary + t);
}
