// Sizes that follow from CLIP's configuration.

import type { ClipImageConfig, ClipModelConfig, ClipTextConfig } from '../../config/clip.ts';

/** Whole patches on a side of an image. */
export const patchesOnASide = ({ size, patch }: Pick<ClipImageConfig, 'size' | 'patch'>): number =>
  Math.floor(size / patch);

/** Ids around a text and after it. */
export interface SpecialTokens {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly padding: number;
}

/** Special tokens of a text tower: the configured ones, or the last two ids of the vocabulary. DALLE-pytorch has none. */
export function specialTokens({ architecture, text }: ClipModelConfig): SpecialTokens {
  if (architecture === 'dalle-pytorch') return { padding: 0 };
  const { vocabulary } = text;
  return text.specialTokens ?? { start: vocabulary - 2, end: vocabulary - 1, padding: 0 };
}

/** Ids of the vocabulary that the tokenizer may not use: a start and an end token that are not its own. */
export const reservedIds = ({
  architecture,
  text,
}: {
  readonly architecture: ClipModelConfig['architecture'];
  readonly text: Pick<ClipTextConfig, 'specialTokens'>;
}): number => (architecture === 'openai' && !text.specialTokens ? 2 : 0);

/** Ids that the tokenizer may use. */
export const textIds = (model: ClipModelConfig): number => model.text.vocabulary - reservedIds(model);

/** The most ids of a text that the text tower reads, without start and end token. */
export function maxTextTokens(config: ClipModelConfig): number {
  const { start, end } = specialTokens(config);
  return config.text.length - [start, end].filter((id) => id !== undefined).length;
}
