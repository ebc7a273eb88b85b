// SigLIP's tokenizers as transformers uses them: SiglipTokenizer, a Unigram model of SentencePiece that pads with its end
// token and reads texts in lower case without punctuation; and SigLIP 2's, Gemma's byte pairs on texts in lower case.

import type { ClipModelConfig } from '../../config/clip.ts';
import { HuggingFaceTokenizer } from '../../tokenizers/hugging-face/tokenizer.ts';
import { DataError } from '../../util/errors.ts';
import { type NamedTokenizer, paddingOf } from './tokenizer-config.ts';

/** A repository with the tokenizer of a SigLIP, by the number of its ids. */
export const siglipRepository = (vocabulary: number): string => {
  if (vocabulary === 32_000) return 'google/siglip-base-patch16-224 (spiece.model)';
  return vocabulary === 250_000
    ? 'google/siglip-base-patch16-256-multilingual (spiece.model)'
    : 'google/siglip2-base-patch16-224';
};

interface Step {
  readonly type?: string;
  readonly normalizers?: readonly Step[];
}
interface Json {
  readonly model?: { readonly type?: string };
  readonly normalizer?: Step | null;
}
const jsonOf = (tokenizer: HuggingFaceTokenizer): Json => tokenizer.toJSON();

const isUnigram = (tokenizer: HuggingFaceTokenizer): boolean => jsonOf(tokenizer).model?.type === 'Unigram';

/** The id of the padding: SentencePiece's models have `<pad>`, and SigLIP pads with `</s>` all the same. */
export function siglipPadding(named: NamedTokenizer, tokenizer: HuggingFaceTokenizer): number {
  const usual = isUnigram(tokenizer) ? '</s>' : '<pad>';
  const config = named.config.pad_token ? named.config : { ...named.config, pad_token: usual };
  return paddingOf({ config }, tokenizer);
}

export interface SiglipTokenizer extends NamedTokenizer {
  readonly specialTokens: NonNullable<ClipModelConfig['text']['specialTokens']>;
}

/**
 * The tokenizer with the steps of its class in transformers, which its tokenizer_config.json names.
 * @param notes takes what is not said by the files
 * @throws DataError when it is of another kind
 */
export function siglipTokenizer(named: NamedTokenizer, notes: string[]): SiglipTokenizer {
  const { tokenizer, path, config } = named;
  const fail = (what: string, fix: string): never => {
    throw new DataError(what, { code: 'E_TOKENIZER_MISMATCH', where: path, fix });
  };
  if (!(tokenizer instanceof HuggingFaceTokenizer))
    return fail(
      'not a tokenizer of SigLIP, which has a Unigram model of SentencePiece or byte pairs of Gemma',
      'name the tokenizer that the model was trained with: its spiece.model or tokenizer.json',
    );
  const { start, end } = tokenizer.around;
  const last = end ?? (isUnigram(tokenizer) ? tokenizer.idOf('</s>') : undefined);
  const specialTokens = {
    ...(start !== undefined && { start }),
    ...(last !== undefined && { end: last }),
    padding: siglipPadding(named, tokenizer),
  };
  const kind = config.tokenizer_class ?? (isUnigram(tokenizer) ? 'SiglipTokenizer' : 'Siglip2Tokenizer');
  if (/^SiglipTokenizer(Fast)?$/.test(kind)) {
    if (config.do_lower_case === false)
      fail(
        'a SiglipTokenizer that keeps capitals (do_lower_case: false)',
        'name the tokenizer of a published SigLIP',
      );
    return { ...named, tokenizer: asSentencePiece(tokenizer, path).cleaned('siglip'), specialTokens };
  }
  if (!/^(Siglip2|Gemma)Tokenizer(Fast)?$/.test(kind)) return { ...named, specialTokens };
  const isOwn = /^Siglip2/.test(kind);
  if (config.padding_side === 'left' || (isOwn && config.tokenizer_class && !config.padding_side))
    notes.push('padding stands after a text, as SigLIP 2 was trained; the files say before it');
  if (lowersCase(tokenizer)) return { ...named, specialTokens };
  if (!isOwn)
    notes.push('texts are in lower case, as SigLIP 2 was trained; the tokenizer alone keeps capitals');
  return { ...named, tokenizer: inLowerCase(tokenizer, path), specialTokens };
}

/** With the steps of SentencePiece itself, which SiglipTokenizer uses, where Hugging Face's tokenizers differ. */
function asSentencePiece(tokenizer: HuggingFaceTokenizer, path: string): HuggingFaceTokenizer {
  const exact = (step: Step): Step => ({
    ...step,
    ...(step.type === 'Precompiled' && { longest_match: true }),
    ...(step.normalizers && { normalizers: step.normalizers.map(exact) }),
  });
  const { model, normalizer, ...json } = jsonOf(tokenizer);
  return HuggingFaceTokenizer.fromJSON(
    { ...json, model: { ...model, float32: true }, normalizer: normalizer && exact(normalizer) },
    path,
  );
}

const lowersCase = (tokenizer: HuggingFaceTokenizer): boolean => {
  const { normalizer } = jsonOf(tokenizer);
  return [normalizer, ...(normalizer?.normalizers ?? [])].some((step) => step?.type === 'Lowercase');
};

const inLowerCase = (tokenizer: HuggingFaceTokenizer, path: string): HuggingFaceTokenizer => {
  const json = jsonOf(tokenizer);
  const normalizers = [{ type: 'Lowercase' }, ...(json.normalizer ? [json.normalizer] : [])];
  return HuggingFaceTokenizer.fromJSON({ ...json, normalizer: { type: 'Sequence', normalizers } }, path);
};
