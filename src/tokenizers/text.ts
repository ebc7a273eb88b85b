// The steps before byte-pair encoding: a caption is normalized, then split into words, which merges never cross.
// Each is a step of Hugging Face's tokenizers, so that tokenizer.json can describe it; see tokenizer-json.ts.

/**
 * Normalizes a text: lower case, NFC, each run of white space one space, none at the ends.
 * Each character is lower-cased alone: Rust has no rule for a final sigma, and JavaScript has.
 */
export function normalizeText(text: string): string {
  return text
    .replaceAll('Σ', 'σ')
    .toLowerCase()
    .normalize('NFC')
    .replace(/\p{White_Space}+/gu, ' ')
    .replace(/^ | $/g, '');
}

/** GPT-2's pattern: contractions, then runs of letters, digits or other characters, each with the space before it. */
const WORD =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** The words of normalized text. The first gets a space before it too, so that a word is the same everywhere. */
export function words(normalized: string): string[] {
  return normalized === '' ? [] : (` ${normalized}`.match(WORD) ?? []);
}
