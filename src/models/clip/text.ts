// Texts as the text tower takes them: start and end token around the tokenizer's ids, and padding.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';

/** Ids that a tokenizer may give: all but the start and the end token, which the published tower has. */
export const textIds = ({ architecture, text }: ClipModelConfig): number =>
  architecture === 'openai' ? text.vocabulary - 2 : text.vocabulary;

/** Ids of a text that fit, start and end token apart. */
export const mostTokens = ({ architecture, text }: ClipModelConfig): number =>
  architecture === 'openai' ? text.length - 2 : text.length;

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
  if (config.architecture === 'dalle-pytorch') return kept;
  const { vocabulary } = config.text;
  return [vocabulary - 2, ...kept, vocabulary - 1];
}

/** Texts side by side: ids padded with 0, and the mask, both [texts, text.length]. */
export function textBatch(
  texts: readonly (readonly number[])[],
  { text }: ClipModelConfig,
): { text: HostTensor; mask: HostTensor } {
  const shape = [texts.length, text.length];
  const ids = new Int32Array(texts.length * text.length);
  const mask = new Float32Array(ids.length);
  for (const [row, tokens] of texts.entries()) {
    ids.set(tokens, row * text.length);
    mask.fill(1, row * text.length, row * text.length + tokens.length);
  }
  return { text: { dtype: 'int32', shape, data: ids }, mask: { dtype: 'float32', shape, data: mask } };
}
