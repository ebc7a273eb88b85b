// The tokenizer of a CLIP in a folder that transformers' AutoTokenizer opens: tokenizer.json and what is around it.

import type { ClipModelConfig } from '../../config/clip.ts';
import type { Json } from '../../convert/origin.ts';
import { specialTokens } from '../../models/clip/config.ts';
import { ClipTokenizer } from '../../tokenizers/clip.ts';
import {
  huggingFaceJson,
  mergesOf,
  type TokenizerJson,
  vocabularyOf,
  withStartAndEnd,
} from '../../tokenizers/hugging-face/written.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { jsonFile, textFile, type WriteFile } from '../format.ts';
import type { ExportModel } from '../model.ts';

interface HubOptions {
  /** Whether cleaning may be left out because the program does it. */
  readonly cleansItself: boolean;
  /** Contents of the files beside tokenizer.json, as they came. */
  readonly given: Readonly<Record<string, Json>>;
}

const CONFIG = 'tokenizer_config.json';
const SPECIAL = 'special_tokens_map.json';

/** The files of the folder. */
export function hubTokenizer(
  model: ExportModel,
  config: ClipModelConfig,
  tokenizer: Tokenizer,
  { cleansItself, given }: HubOptions,
): Record<string, WriteFile> {
  const { where, options } = model;
  const withoutCleaning = cleansItself || options.withoutCleaning;
  const { start = 0 } = specialTokens(config);
  const written = huggingFaceJson(tokenizer, { where, withoutCleaning });
  const json = withStartAndEnd(written, tokenizer);
  if (json !== written && start !== tokenizer.vocabularySize)
    throw model.unsupported(
      `the tokenizer has ${tokenizer.vocabularySize} ids and the model's start token is ${start}: in a tokenizer.json it is the next id`,
      'train with `model.text.vocabulary` left to the tokenizer',
    );
  const files: Record<string, WriteFile> = { 'tokenizer.json': jsonFile(json) };
  const isClips = tokenizer instanceof ClipTokenizer;
  // Older programs read CLIP's vocabulary from these two.
  if (isClips) {
    files['vocab.json'] = jsonFile(vocabularyOf(json));
    files['merges.txt'] = textFile(['#version: 0.2', ...mergesOf(json), ''].join('\n'));
  }
  const special = isClips ? clipsTokens(config, json) : tokensAround(config, json);
  const settings = {
    tokenizer_class: isClips ? 'CLIPTokenizer' : 'PreTrainedTokenizerFast',
    model_max_length: config.text.length,
    clean_up_tokenization_spaces: false,
    ...special,
  };
  files[CONFIG] = jsonFile(given[CONFIG] ?? settings);
  files[SPECIAL] = jsonFile(given[SPECIAL] ?? special);
  return files;
}

/** The tokens by what they are for. Texts are padded with the end token, after which CLIP's text tower reads nothing. */
function tokensAround(config: ClipModelConfig, json: TokenizerJson): Record<string, string> {
  const { start, end, padding } = specialTokens(config);
  const added = (json.added_tokens ?? []) as readonly { id: number; content: string }[];
  const spelled = (id: number | undefined): string | undefined =>
    added.find((token) => token.id === id)?.content;
  const tokens = {
    bos_token: spelled(start),
    eos_token: spelled(end),
    unk_token: (json.model as { unk_token?: string | null }).unk_token ?? undefined,
    pad_token: spelled(padding) ?? spelled(end),
  };
  return Object.fromEntries(
    Object.entries(tokens).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

const clipsTokens = (config: ClipModelConfig, json: TokenizerJson): Record<string, string> => {
  const { bos_token, eos_token } = tokensAround(config, json) as Record<string, string>;
  return { bos_token, eos_token, unk_token: eos_token, pad_token: eos_token } as Record<string, string>;
};

/** Whether the padding of texts, which towers that are not causal read, is a special token in the file. */
export const hasPaddingToken = (config: ClipModelConfig, tokenizer: Tokenizer): boolean => {
  const { added_tokens: added = [] } = tokenizer.toJSON() as { added_tokens?: readonly { id: number }[] };
  return added.some(({ id }) => id === specialTokens(config).padding);
};
