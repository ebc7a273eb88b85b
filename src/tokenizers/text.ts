// What happens to a caption before byte-pair encoding: normalised, then cut into words that merges never cross.
// Each step is one of Hugging Face's, so that tokenizer.json says the same; see tokenizer-json.ts.

/**
 * Lower case, NFC, every run of white space one space, none at the ends.
 * Lower case is by character: Rust's has no final-sigma rule, so capital sigma must not meet JavaScript's.
 */
export function normalizeText(text: string): string {
  return text
    .replaceAll('Σ', 'σ')
    .toLowerCase()
    .normalize('NFC')
    .replace(/\p{White_Space}+/gu, ' ')
    .replace(/^ | $/g, '');
}

/** GPT-2's pattern: contractions, then letters, digits or other signs, each with the space before it. */
const WORD =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** The words of normalised text; the first has a space before it too, so that a word is the same everywhere. */
export function words(normalized: string): string[] {
  return normalized === '' ? [] : (` ${normalized}`.match(WORD) ?? []);
}
