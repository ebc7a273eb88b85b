// A model of YouTokenToMe as a tokenizer.json of Hugging Face's tokenizers: byte pairs of characters after ▁, unknown
// characters as one token. Such a file tells tokens apart by their spelling; a model of YouTokenToMe may have two tokens
// of one spelling, and then there is no such file.

import { DataError } from '../util/errors.ts';

/** The numbers of a model file. */
export interface YouTokenToMeModel {
  readonly characters: readonly (readonly [character: string, id: number])[];
  readonly rules: readonly (readonly [left: number, right: number, result: number])[];
  readonly special: {
    readonly unknown: number;
    readonly padding: number;
    readonly start: number;
    readonly end: number;
  };
}

export const SPACE = '▁';
const replaced = (Regex: string, content: string) => ({ type: 'Replace', pattern: { Regex }, content });
const SPECIAL = { unknown: '<UNK>', padding: '<PAD>', start: '<BOS>', end: '<EOS>' } as const;

/**
 * The contents of the tokenizer.json.
 * @throws DataError E_TOKENIZER_UNWRITABLE where two tokens are spelled alike
 */
export function youTokenToMeJson({ characters, rules, special }: YouTokenToMeModel, where: string): object {
  const spellings = new Map<number, string>(characters.map(([character, id]) => [id, character]));
  const spelled = (id: number): string => spellings.get(id) as string;
  const merges = rules.map(([left, right, result]) => {
    const pair = [spelled(left), spelled(right)];
    spellings.set(result, pair.join(''));
    return pair;
  });
  const named = Object.entries(SPECIAL).flatMap(([key, token]): [number, string][] => {
    const id = special[key as keyof typeof special];
    return id < 0 || spellings.has(id) ? [] : [[id, token]];
  });
  const vocab = new Map<string, number>();
  for (const [id, token] of [...named, ...spellings].toSorted(([a], [b]) => a - b)) {
    const twin = vocab.get(token);
    if (twin !== undefined)
      throw new DataError(
        `tokens ${twin} and ${id} of the YouTokenToMe model are both spelled "${token}", and a tokenizer.json has one of each spelling`,
        {
          code: 'E_TOKENIZER_UNWRITABLE',
          where,
          fix: 'keep the model file: mm reads it wherever it takes a tokenizer',
        },
      );
    vocab.set(token, id);
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: {
      type: 'Sequence',
      normalizers: [replaced(`[\\t-\\r ${SPACE}]+`, ' '), replaced('\\A | \\z', '')],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: SPACE, prepend_scheme: 'always', split: true },
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: SPACE, prepend_scheme: 'always', split: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: vocab.get(SPECIAL.unknown) === special.unknown ? SPECIAL.unknown : spelled(special.unknown),
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges,
    },
  };
}
