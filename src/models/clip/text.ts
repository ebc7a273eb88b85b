// Texts as the text tower takes them: start and end token around the tokenizer's ids, and padding.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';

/** Ids around a text and after it. */
export interface SpecialTokens {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly padding: number;
}

/** The special tokens of a text tower: the last two ids of the vocabulary, or the tokenizer's own; DALLE-pytorch has none. */
export function specialTokens({ architecture, text }: ClipModelConfig): SpecialTokens {
  if (architecture === 'dalle-pytorch') return { padding: 0 };
  const { vocabulary } = text;
  return text.specialTokens ?? { start: vocabulary - 2, end: vocabulary - 1, padding: 0 };
}

/** Ids that a tokenizer may give: all but a start and an end token that are not its own. */
export const textIds = ({ architecture, text }: ClipModelConfig): number =>
  architecture === 'openai' && !text.specialTokens ? text.vocabulary - 2 : text.vocabulary;

/** Ids of a text that fit, start and end token apart. */
export function mostTokens(config: ClipModelConfig): number {
  const { start, end } = specialTokens(config);
  return config.text.length - [start, end].filter((id) => id !== undefined).length;
}

/**
 * A text's ids without padding; the start and end token are the last two of the vocabulary.
 * @throws DataError when it is empty, or longer than the tower reads and `truncate` is not set
 */
export function textTokens(
  text: string,
  tokenizer: Tokenizer,
  config: ClipModelConfig,
  truncate = false,
): number[] {
  const ids = tokenizer.encode(text);
  const most = mostTokens(config);
  if (ids.length === 0)
    throw new DataError('a text is empty', { where: JSON.stringify(text), fix: 'say what to look for' });
  if (ids.length > most && !truncate) {
    const around = config.text.length - most;
    throw new DataError(
      `the text has ${ids.length + around} tokens, the model reads ${config.text.length}${around > 0 ? ', start and end included' : ''}`,
      {
        where: text.length > 60 ? `${text.slice(0, 60)}…` : text,
        fix: 'shorten it, or cut it with --truncate',
      },
    );
  }
  const kept = ids.slice(0, most);
  const { start, end } = specialTokens(config);
  return [start ?? [], kept, end ?? []].flat();
}

/** Texts side by side: ids with padding, and the mask, both [texts, text.length]. */
export function textBatch(
  texts: readonly (readonly number[])[],
  config: ClipModelConfig,
): { text: HostTensor; mask: HostTensor } {
  const { text } = config;
  const shape = [texts.length, text.length];
  const ids = new Int32Array(texts.length * text.length).fill(specialTokens(config).padding);
  const mask = new Float32Array(ids.length);
  for (const [row, tokens] of texts.entries()) {
    ids.set(tokens, row * text.length);
    mask.fill(1, row * text.length, row * text.length + tokens.length);
  }
  return { text: { dtype: 'int32', shape, data: ids }, mask: { dtype: 'float32', shape, data: mask } };
}
