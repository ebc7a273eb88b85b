// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts are cleaned of them

// Cleaning of captions before they are encoded, as published models were trained with it: OpenAI's CLIP and
// DALLE-pytorch clean `lower`, open_clip also `whitespace` (tokenizers of transformers) and `canonicalize` (SigLIP);
// `siglip` is what transformers' SiglipTokenizer does, which repairs nothing.

import { fixText } from './fix-text.ts';
import { unescapeHtml } from './html.ts';

export const CLEANINGS = ['lower', 'whitespace', 'canonicalize', 'siglip'] as const;
export type Cleaning = (typeof CLEANINGS)[number];

/** Python's white space: Unicode's, and the separators U+001C to U+001F. */
const WHITE_SPACE = /[\p{White_Space}\x1c-\x1f]+/gu;
const collapse = (text: string): string => text.replace(WHITE_SPACE, ' ').replace(/^ | $/g, '');

/** Python's string.punctuation. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;

/** Mojibake repaired, character references decoded twice, white space collapsed; then lower case, or less, or more. */
export function clean(text: string, cleaning: Cleaning): string {
  if (cleaning === 'siglip')
    return collapse(text.replaceAll('▁', ' ').toLowerCase().replace(PUNCTUATION, ''));
  const basic = unescapeHtml(unescapeHtml(fixText(text)));
  if (cleaning === 'canonicalize')
    return collapse(basic.replaceAll('_', ' ').replace(PUNCTUATION, '').toLowerCase());
  return cleaning === 'lower' ? collapse(basic).toLowerCase() : collapse(basic);
}
