// The tokenizer of a CLIP: named, or among its files.

import type { ClipModelConfig } from '../../config/clip.ts';
import { textIds } from '../../models/clip/config.ts';
import { ClipTokenizer } from '../../tokenizers/clip.ts';
import { HuggingFaceTokenizer } from '../../tokenizers/hugging-face/tokenizer.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { ConvertOptions, ExternalFiles } from '../external.ts';
import type { OpenClipConfig } from './open-clip-config.ts';
import { siglipPadding } from './siglip-tokenizer.ts';
import { type NamedTokenizer, paddingOf, readTokenizerConfig } from './tokenizer-config.ts';

/** Names of tokenizers beside weights, the surest first. */
const FILES = [
  'tokenizer.json',
  'bpe_simple_vocab_16e6.txt.gz',
  'bpe_simple_vocab_16e6.txt',
  'merges.txt',
  'sentencepiece.bpe.model',
  'spiece.model',
  'bpe.model',
  'vocab.txt',
];

/**
 * The tokenizer named in the options, or the one among the files.
 * @param theirs the repository that has it, for the message
 * @throws UsageError E_TOKENIZER_MISSING, DataError when it cannot be read
 */
export async function findTokenizer(
  files: ExternalFiles,
  { tokenizer: named }: ConvertOptions,
  theirs?: string | null | undefined,
): Promise<NamedTokenizer> {
  const path = named ?? FILES.flatMap((name) => files.named(name) ?? [])[0];
  if (path === undefined) {
    throw new UsageError('these weights come without their tokenizer', {
      code: 'E_TOKENIZER_MISSING',
      option: 'tokenizer',
      where: files.where,
      fix: theirs
        ? `set \`tokenizer\` to the tokenizer.json or the .model of ${theirs}`
        : "set `tokenizer` to a tokenizer.json, OpenAI's bpe_simple_vocab_16e6.txt.gz, or ruCLIP's bpe.model",
    });
  }
  return { tokenizer: await loadTokenizer(path), path, config: await readTokenizerConfig(path) };
}

/**
 * The tokenizer with texts cleaned as the programs did that train with it: OpenAI's CLIP and DALLE-pytorch `lower`,
 * open_clip as its configuration says. Tokenizers of mm's own stay as they are.
 */
export function cleanedFor(named: NamedTokenizer, config?: OpenClipConfig): NamedTokenizer {
  const { tokenizer } = named;
  const { hf_tokenizer_name: theirs, tokenizer_kwargs: kwargs } = config?.model.text_cfg ?? {};
  const cleaning = kwargs?.clean ?? (theirs ? 'whitespace' : 'lower');
  const isOpenClips = config !== undefined && tokenizer instanceof HuggingFaceTokenizer;
  return isOpenClips || tokenizer instanceof ClipTokenizer
    ? { ...named, tokenizer: tokenizer.cleaned(cleaning) }
    : named;
}

/** Ids without a start and an end token that are the last two, as a tokenizer.json may count them. */
function idsOfTexts(tokenizer: Tokenizer): number {
  const { vocabularySize: all } = tokenizer;
  if (!(tokenizer instanceof HuggingFaceTokenizer)) return all;
  const { start, end } = tokenizer.around;
  return start === all - 2 && end === all - 1 ? all - 2 : all;
}

/** @throws DataError E_TOKENIZER_MISMATCH when the model was trained with another one */
export function assertTokenizerFits({ tokenizer, path }: NamedTokenizer, model: ClipModelConfig): void {
  const ids = textIds(model);
  // The start and the end token are the last two ids, and have to be the tokenizer's.
  const isExact = model.architecture === 'openai' && !model.text.specialTokens;
  if (isExact ? idsOfTexts(tokenizer) === ids : tokenizer.vocabularySize <= ids) return;
  throw new DataError(`a tokenizer of ${tokenizer.vocabularySize} ids, where the model has ${ids}`, {
    code: 'E_TOKENIZER_MISMATCH',
    where: path,
    fix: 'name the tokenizer that the model was trained with',
  });
}

/**
 * The special tokens of a text tower whose tokenizer has its own; undefined for CLIP's.
 * @throws DataError E_CLIP_UNSUPPORTED where the configuration reads the features elsewhere than at such an end token
 */
export function specialTokensOf(
  named: NamedTokenizer,
  config: OpenClipConfig | undefined,
): ClipModelConfig['text']['specialTokens'] {
  if (!config) return undefined;
  const { tokenizer } = named;
  const { text_cfg: text } = config.model;
  const unsupported = (what: string): DataError =>
    new DataError(`an open_clip model that mm does not have: ${what}`, {
      code: 'E_CLIP_UNSUPPORTED',
      where: config.where,
      fix: 'convert a model whose configuration is among those of open_clip',
    });
  if (!(tokenizer instanceof HuggingFaceTokenizer)) {
    if (text.pool_type === 'eos' && text.eos_id !== text.vocab_size - 1)
      throw unsupported(
        `text_cfg.eos_id is ${text.eos_id}, and the tokenizer's end token ${text.vocab_size - 1}`,
      );
    return undefined;
  }
  const { strip_sep_token: isStripped } = text.tokenizer_kwargs;
  const isSiglip = typeof config.model.init_logit_bias === 'number';
  const padding = isSiglip ? siglipPadding(named, tokenizer) : paddingOf(named, tokenizer);
  const { start } = tokenizer.around;
  const end = isStripped ? 0 : tokenizer.around.end;
  if (end === undefined && text.pool_type !== 'last')
    throw unsupported('its tokenizer puts no end token after a text');
  if (text.pool_type === 'argmax' || (text.pool_type === 'eos' && text.eos_id !== end))
    throw unsupported(
      `text_cfg.pool_type is ${text.pool_type} at id ${text.eos_id}, and the tokenizer's end token ${end}`,
    );
  return { ...(start !== undefined && { start }), ...(end !== undefined && { end }), padding };
}
