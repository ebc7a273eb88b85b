// Any tokenizer as a tokenizer.json that Hugging Face's programs read, with the same ids; and one with a start and an end
// token around a text, for models that have them.

import { DataError } from '../../util/errors.ts';
import { ClipTokenizer } from '../clip.ts';
import { END, START } from '../clip-json.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { YouTokenToMeTokenizer } from '../youtokentome.ts';
import { specialToken } from './added-tokens.ts';
import { HuggingFaceTokenizer } from './tokenizer.ts';

export type TokenizerJson = Readonly<Record<string, unknown>>;

export interface WrittenOptions {
  /** The checkpoint or file it is of, for messages. */
  readonly where: string;
  /** Whether cleaning is left out; without it, a tokenizer that cleans is an error. */
  readonly withoutCleaning: boolean;
}

/** How a tokenizer cleans texts before it encodes them, if it does. */
export const cleaningOf = (tokenizer: Tokenizer): string | undefined => {
  const { cleaning } = tokenizer.toJSON() as { cleaning?: string };
  return cleaning;
};

/**
 * The contents of a tokenizer.json for Hugging Face's programs.
 * @throws DataError E_TOKENIZER_UNWRITABLE where such a file cannot give the same ids
 */
export function huggingFaceJson(
  tokenizer: Tokenizer,
  { where, withoutCleaning }: WrittenOptions,
): TokenizerJson {
  if (tokenizer instanceof YouTokenToMeTokenizer) return tokenizer.toHuggingFace(where) as TokenizerJson;
  const { cleaning, ...json } = tokenizer.toJSON() as Record<string, unknown>;
  if (cleaning === undefined || withoutCleaning) return json;
  throw new DataError(
    `the tokenizer cleans texts first (${String(cleaning)}): mojibake and character references; no step of a tokenizer.json does that`,
    {
      code: 'E_TOKENIZER_UNWRITABLE',
      where,
      fix: 'leave it out with `withoutCleaning`: texts that need no cleaning have the same ids',
    },
  );
}

/**
 * A tokenizer.json with a start and an end token around a text, where it has none. They are the two ids after the
 * tokenizer's own, as those of CLIP's text tower are.
 */
export function withStartAndEnd(json: TokenizerJson, tokenizer: Tokenizer): TokenizerJson {
  const isMarked =
    tokenizer instanceof ClipTokenizer ||
    (tokenizer instanceof HuggingFaceTokenizer && tokenizer.around.end !== undefined);
  if (isMarked) return json;
  const { vocabularySize: start } = tokenizer;
  const tokens = [
    { id: START, ids: [start], tokens: [START] },
    { id: END, ids: [start + 1], tokens: [END] },
  ];
  const around = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = (id: 'A' | 'B') => ({ Sequence: { id, type_id: 0 } });
  const added = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  return {
    ...json,
    added_tokens: [...added, specialToken(start, START), specialToken(start + 1, END)],
    post_processor: {
      type: 'TemplateProcessing',
      single: [around(START), text('A'), around(END)],
      pair: [around(START), text('A'), around(END), around(START), text('B'), around(END)],
      special_tokens: Object.fromEntries(tokens.map((token) => [token.id, token])),
    },
  };
}

/** The tokens of a byte-pair tokenizer.json with their ids, added ones included: vocab.json. */
export function vocabularyOf({ model, added_tokens: added }: TokenizerJson): object {
  const { vocab } = model as { vocab: object };
  const tokens = (added ?? []) as readonly { content: string; id: number }[];
  return { ...vocab, ...Object.fromEntries(tokens.map(({ content, id }) => [content, id])) };
}

/** Its merges as lines of merges.txt. */
export function mergesOf({ model }: TokenizerJson): string[] {
  const { merges } = model as { merges: readonly (string | readonly string[])[] };
  return merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
}
