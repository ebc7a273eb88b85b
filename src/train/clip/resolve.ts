// The size of a CLIP's vocabulary, which its tokenizer says.

import { type ClipConfig, clipModelSchema, type GivenClipConfig } from '../../config/clip.ts';
import { reservedIds } from '../../models/clip/config.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';

/**
 * The configuration with the vocabulary of its tokenizer where it has none; CLIP's without a tokenizer.
 * @throws UsageError when a vocabulary that it has is too small
 */
export function resolveClip(given: GivenClipConfig, tokenizer: Tokenizer | undefined): ClipConfig {
  const { text } = given.model;
  if (tokenizer) assertVocabularyFits(given, tokenizer);
  const vocabulary = text.vocabulary ?? (tokenizer && vocabularyFor(given, tokenizer));
  // Parsed once more for the order of its keys: a resumed run compares its model with that of the first session.
  return { ...given, model: clipModelSchema.parse({ ...given.model, text: { ...text, vocabulary } }) };
}

/** Special tokens may have ids above the tokenizer's. */
function vocabularyFor({ model }: GivenClipConfig, { vocabularySize }: Tokenizer): number {
  const special = Object.values(model.text.specialTokens ?? {}).map((id) => id + 1);
  return Math.max(vocabularySize + reservedIds(model), ...special);
}

function assertVocabularyFits({ model, data }: GivenClipConfig, { vocabularySize }: Tokenizer): void {
  const { vocabulary } = model.text;
  const reserved = reservedIds(model);
  if (vocabulary === undefined || vocabulary >= vocabularySize + reserved) return;
  const of = reserved > 0 ? `, of which the model reserves ${reserved}` : '';
  throw new UsageError(
    `the tokenizer has ${vocabularySize} entries, model.text.vocabulary is ${vocabulary}${of}`,
    {
      code: 'E_VOCABULARY_TOO_SMALL',
      where: data.tokenizer,
      fix: `leave out model.text.vocabulary, or set it to at least ${vocabularySize + reserved}`,
    },
  );
}
