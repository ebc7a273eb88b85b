// Sizes that follow from the joint Transformer's configuration: the stream, its padding and the layers' attention.

import type { AttentionKind, DalleModelConfig } from '../../config/dalle-model.ts';
import { attentionOrder, type StreamLayout } from '../../nn/attention-kinds.ts';
import { DataError } from '../../util/errors.ts';

/** Number of image tokens of an image. */
export const imageLength = (config: DalleModelConfig): number => config.grid ** 2;

/** Number of input positions before the image: the start token and the text. */
export const prefixLength = (config: DalleModelConfig): number => config.textLength + 1;

/** Number of input positions: the whole stream except its last image token, after which nothing is predicted. */
export const streamLength = (config: DalleModelConfig): number => config.textLength + imageLength(config);

/** Width of an attention head, in channels. */
export const headWidth = ({ width, heads, headWidth }: DalleModelConfig): number =>
  headWidth ?? width / heads;

/** Number of classes of the text head: the vocabulary, and the end of the caption or every padding token. */
export const textClasses = ({ textVocabulary, textLength, paddingTargets }: DalleModelConfig): number =>
  textVocabulary + (paddingTargets === 'end' ? 1 : textLength);

/** The layout of the stream for attention, token shift and rotary positions. */
export const streamLayout = (config: DalleModelConfig): StreamLayout => ({
  // Where places are those of the predicted tokens, the last text position is that of the first image token.
  prefix: prefixLength(config) - (config.attentionGrid === 'target' ? 1 : 0),
  grid: config.grid,
  kernelSize: config.kernelSize,
});

/** The attention kind of each layer. */
export const layerAttention = (config: DalleModelConfig): AttentionKind[] =>
  attentionOrder(config.layers, config.attention, config.lastAttention);

/** Text positions before the tokens of a caption: the one of captionTokens.start, or none. */
export const captionStart = ({ captionTokens }: DalleModelConfig): number =>
  captionTokens?.start === undefined ? 0 : 1;

/** Number of tokens that a caption may have. As in ruDALL-E, the longest one leaves no position for its end token. */
export const maxCaptionTokens = (config: DalleModelConfig): number =>
  config.textLength - captionStart(config);

/**
 * A caption's tokens between those of captionTokens, padded to textLength: the padding token of position t, counted from
 * 0, is textVocabulary + t. With zeroIsPadding, token 0 is replaced by it too.
 * @throws DataError E_CAPTION_TOO_LONG when there are more tokens than positions
 */
export function padCaption(caption: ArrayLike<number>, config: DalleModelConfig): Int32Array {
  const { textLength, textVocabulary, zeroIsPadding, captionTokens } = config;
  if (caption.length > maxCaptionTokens(config)) {
    throw new DataError(
      `a caption of ${caption.length} tokens does not fit in ${textLength} text positions`,
      {
        code: 'E_CAPTION_TOO_LONG',
        fix: 'shorten or truncate the caption, or raise model.textLength',
      },
    );
  }
  const { start, end } = captionTokens ?? {};
  const tokens = [start ?? [], Array.from(caption), end ?? []].flat();
  return Int32Array.from({ length: textLength }, (_, t) => {
    const token = tokens[t];
    return token === undefined || (zeroIsPadding && token === 0) ? textVocabulary + t : token;
  });
}
