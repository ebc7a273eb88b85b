// Sizes that follow from CLIP's configuration.

import type { ClipImageConfig, ClipModelConfig } from '../../config/clip.ts';

/** Number of patches of an image. */
export const patchCount = ({ size, patch }: ClipImageConfig): number => (size / patch) ** 2;

/** Ids that the tokenizer may use: the vocabulary without the start and end token, which only the openai tower has. */
export const textIds = ({ architecture, text }: ClipModelConfig): number =>
  architecture === 'openai' ? text.vocabulary - 2 : text.vocabulary;

/** The most ids of a text that the text tower reads, without start and end token. */
export const maxTextTokens = ({ architecture, text }: ClipModelConfig): number =>
  architecture === 'openai' ? text.length - 2 : text.length;
