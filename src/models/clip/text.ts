// Texts as the text tower reads them: the tokenizer's ids between start and end token, and padding.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError } from '../../util/errors.ts';
import { maxTextTokens, specialTokens } from './config.ts';

/**
 * The ids of a text without padding. See `specialTokens` for those around them.
 * @param truncate whether a text that is too long is cut
 * @throws DataError E_TEXT_EMPTY; E_TEXT_TOO_LONG for a text that is longer than the tower reads, without `truncate`
 */
export function textTokens(
  text: string,
  tokenizer: Pick<Tokenizer, 'encode'>,
  config: ClipModelConfig,
  truncate = false,
): number[] {
  const ids = tokenizer.encode(text);
  const max = maxTextTokens(config);
  if (ids.length === 0)
    throw new DataError('the text is empty', {
      code: 'E_TEXT_EMPTY',
      where: JSON.stringify(text),
      fix: 'write what to look for',
    });
  if (ids.length > max && !truncate) {
    const extra = config.text.length - max;
    const counted = extra > 0 ? ', start and end token included' : '';
    throw new DataError(
      `the text has ${ids.length + extra} tokens, the model reads ${config.text.length}${counted}`,
      {
        code: 'E_TEXT_TOO_LONG',
        where: text.length > 60 ? `${text.slice(0, 60)}…` : text,
        fix: 'shorten it, or cut it with `truncate`',
      },
    );
  }
  const kept = ids.slice(0, max);
  const { start, end } = specialTokens(config);
  return [start ?? [], kept, end ?? []].flat();
}

/** Positions of a batch are these, or twice, four times as many …, so that graphs stay few. */
const MIN_POSITIONS = 16;

/**
 * The positions that have to be read of texts. The padding after a text changes nothing of its feature where the tower is
 * causal and the feature is that of the end token.
 */
export function positionsToRead(
  texts: readonly (readonly number[])[],
  { architecture, text }: ClipModelConfig,
): number {
  if (architecture !== 'openai' || !text.causal || text.pool === 'last') return text.length;
  const longest = Math.max(...texts.map((tokens) => tokens.length));
  let positions = MIN_POSITIONS;
  while (positions < longest) positions *= 2;
  return Math.min(positions, text.length);
}

/**
 * A batch of texts: ids with padding, and the mask, 1 for ids and 0 for padding; both [B, T].
 * @param length T
 */
export function textBatch(
  texts: readonly (readonly number[])[],
  config: ClipModelConfig,
  length = config.text.length,
): { text: HostTensor; mask: HostTensor } {
  const shape = [texts.length, length];
  const ids = new Int32Array(texts.length * length).fill(specialTokens(config).padding);
  const mask = new Float32Array(ids.length);
  for (const [row, tokens] of texts.entries()) {
    ids.set(tokens, row * length);
    mask.fill(1, row * length, row * length + tokens.length);
  }
  return { text: { dtype: 'int32', shape, data: ids }, mask: { dtype: 'float32', shape, data: mask } };
}
