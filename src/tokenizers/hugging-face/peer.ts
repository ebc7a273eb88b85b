// What mm takes from Hugging Face's own JavaScript package: its translation of regular expressions, and its decoders.
// Its normalizers, pre-tokenizers and models give other ids than the Rust library for some texts.

import { Tokenizer } from '@huggingface/tokenizers';

interface Peer {
  readonly normalizer: { readonly pattern: RegExp | null } | null;
  decode(ids: number[], options: { skip_special_tokens: boolean }): string;
}

/** Its types are written for another way of resolving modules. */
const create = Tokenizer as unknown as new (json: object, config: object) => Peer;

const NOTHING = {
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  added_tokens: [],
};
const wordsOf = (ids: Iterable<readonly [string, number]>): object => ({
  type: 'WordPiece',
  unk_token: '',
  vocab: Object.fromEntries(ids),
});

/** Translates a regular expression of Oniguruma's syntax. Throws where it cannot. */
export function translate(Regex: string): RegExp {
  const normalizer = { type: 'Replace', pattern: { Regex }, content: '' };
  const { pattern } = new create({ ...NOTHING, normalizer, model: wordsOf([]) }, {}).normalizer ?? {};
  if (!pattern) throw new SyntaxError(Regex);
  return pattern;
}

/** Joins tokens to text as the decoder of a tokenizer.json says, without its special tokens. */
export function decoderOf(
  json: Readonly<Record<string, unknown>>,
  ids: ReadonlyMap<string, number>,
): (ids: readonly number[]) => string {
  const { decoder = null, added_tokens = [] } = json;
  const peer = new create(
    { ...NOTHING, decoder, added_tokens, model: wordsOf(ids) },
    { clean_up_tokenization_spaces: false },
  );
  return (all) => (all.length === 0 ? '' : peer.decode([...all], { skip_special_tokens: true }));
}
