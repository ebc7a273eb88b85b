// CLIPs of other programs for `mm convert`: which files are whose, and their tokenizers.

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SafetensorsFile } from '../../checkpoint/safetensors.ts';
import { textIds } from '../../models/clip/text.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converted, Converter, ConvertOptions, ExternalFiles } from '../external.ts';
import { PickleObject, type PickleValue } from '../pickle/values.ts';
import { stateDict } from '../torch/state-dict.ts';
import { TorchTensor } from '../torch/tensor.ts';
import {
  type ConvertedClip,
  fromHuggingFace,
  fromLucid,
  fromOpenai,
  isHuggingFace,
  isLucid,
  isOpenai,
  type StateDict,
} from './weights.ts';

interface Found {
  readonly tensors: StateDict;
  readonly where: string;
}

/** The first file whose tensors are those of a CLIP as `isOurs` knows it. */
async function find(
  files: ExternalFiles,
  isOurs: (tensors: StateDict) => boolean,
): Promise<Found | undefined> {
  for (const file of await files.safetensorsFiles()) {
    const tensors = fromSafetensors(file);
    if (isOurs(tensors)) return { tensors, where: file.path };
  }
  for (const { path, value } of await files.torchFiles()) {
    const tensors = fromTorch(value, path);
    if (tensors && isOurs(tensors)) return { tensors, where: path };
  }
  return undefined;
}

const fromSafetensors = (file: SafetensorsFile): StateDict =>
  new Map(file.names.map((name) => [name, { ...file.info(name), read: () => file.read(name) }]));

/** A state dictionary, one under `state_dict` (open_clip's training checkpoints), or a TorchScript archive. */
function fromTorch(value: PickleValue, path: string): StateDict | undefined {
  const inner =
    value instanceof Map && value.get('state_dict') instanceof Map ? value.get('state_dict') : value;
  const isDictionary =
    inner instanceof Map && [...inner.values()].every((each) => each instanceof TorchTensor);
  if (!isDictionary && !(inner instanceof PickleObject)) return undefined;
  const tensors = stateDict(inner as PickleValue, path);
  return new Map(Array.from(tensors, ([name, tensor]) => [name.replace(/^module\./, ''), tensor]));
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new DataError('the file cannot be read as JSON', { where: path, fix: 'fetch it again', cause });
  }
}

/** The tokenizer named, or the one among the files. */
async function tokenizerFor(
  files: ExternalFiles,
  { model }: ConvertedClip,
  { tokenizer: named }: ConvertOptions,
): Promise<Tokenizer> {
  const path = named ?? files.named('tokenizer.json') ?? files.named('merges.txt');
  if (path === undefined) {
    throw new UsageError('these weights come without their tokenizer', {
      code: 'E_TOKENIZER_MISSING',
      option: 'tokenizer',
      where: files.where,
      fix: "set `tokenizer` to a tokenizer.json, or OpenAI's bpe_simple_vocab_16e6.txt.gz",
    });
  }
  const tokenizer = await loadTokenizer(path);
  const ids = textIds(model);
  // The start and the end token are the last two ids, and have to be the tokenizer's.
  const fits =
    model.architecture === 'openai' ? tokenizer.vocabularySize === ids : tokenizer.vocabularySize <= ids;
  if (fits) return tokenizer;
  throw new DataError(`a tokenizer of ${tokenizer.vocabularySize} ids, where the model has ${ids}`, {
    code: 'E_TOKENIZER_MISMATCH',
    where: path,
    fix: 'name the tokenizer that the model was trained with',
  });
}

async function converted(
  what: string,
  files: ExternalFiles,
  clip: ConvertedClip,
  options: ConvertOptions,
): Promise<Converted> {
  const { image, embedding } = clip.model;
  const tower = image.tower === 'resnet' ? 'ResNet' : `ViT of ${image.layers} layers`;
  return {
    what: `${what}, ${tower}, ${image.size} pixels, ${embedding} features`,
    contents: {
      kind: 'clip',
      config: { model: clip.model },
      model: clip.tensors,
      tokenizer: await tokenizerFor(files, clip, options),
    },
  };
}

export const huggingFaceClip: Converter = {
  reads: "Hugging Face's CLIP: the folder of config.json, model.safetensors and tokenizer.json",

  async convert(files, options) {
    const found = await find(files, isHuggingFace);
    if (!found) return undefined;
    const config = files.named('config.json');
    if (config === undefined)
      throw new DataError('the weights have no config.json beside them', {
        where: found.where,
        fix: `convert the whole folder: mm convert ${dirname(found.where)} --to DIR`,
      });
    const clip = fromHuggingFace(found.tensors, await readJson(config), found.where);
    return converted("Hugging Face's CLIP", files, clip, options);
  },
};

export const openaiClip: Converter = {
  reads: "OpenAI's CLIP (RN50.pt, ViT-B-32.pt, …) and open_clip's, with --tokenizer",

  async convert(files, options) {
    const found = await find(files, isOpenai);
    if (!found) return undefined;
    const clip = fromOpenai(
      found.tensors,
      found.where,
      options.activation ?? (await openClipActivation(files)),
    );
    return converted("OpenAI's CLIP", files, clip, options);
  },
};

/** open_clip says it in the file beside its weights. */
async function openClipActivation(files: ExternalFiles): Promise<ConvertOptions['activation']> {
  const path = files.named('open_clip_config.json');
  if (path === undefined) return undefined;
  const { model_cfg: model } = (await readJson(path)) as { model_cfg?: { quick_gelu?: boolean } };
  return model?.quick_gelu === true ? 'quick-gelu' : 'gelu';
}

export const dallePytorchClip: Converter = {
  reads: "DALLE-pytorch's CLIP: its state dictionary, with --tokenizer",

  async convert(files, options) {
    const found = await find(files, isLucid);
    if (!found) return undefined;
    return converted("DALLE-pytorch's CLIP", files, fromLucid(found.tensors, found.where), options);
  },
};
