// The WordPiece model of a tokenizer.json, BERT's.

import { type Fail, idIn, type Model } from './model.ts';

export interface WordPieces {
  readonly unk_token: string;
  readonly continuing_subword_prefix: string;
  readonly max_input_chars_per_word: number;
  readonly vocab: ReadonlyMap<string, number>;
}

/** The longest pieces of the vocabulary, from left to right; a word that cannot be cut is one unknown token. */
export function wordPieces(settings: WordPieces, fail: Fail): Model {
  const { vocab: ids, continuing_subword_prefix: inner } = settings;
  const unknown = idIn(ids, fail)(settings.unk_token);
  let longest = 0;
  for (const token of ids.keys()) longest = Math.max(longest, token.length);
  return {
    ids,
    encode(word) {
      if (
        word.length > settings.max_input_chars_per_word &&
        [...word].length > settings.max_input_chars_per_word
      )
        return [unknown];
      const found: number[] = [];
      for (let start = 0; start < word.length; ) {
        let end = Math.min(word.length, start + longest);
        let id: number | undefined;
        for (; end > start; end--) {
          id = ids.get((start > 0 ? inner : '') + word.slice(start, end));
          if (id !== undefined) break;
        }
        if (id === undefined) return [unknown];
        found.push(id);
        start = end;
      }
      return found;
    },
  };
}
