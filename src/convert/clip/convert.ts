// CLIPs of other programs for `mm convert`: which files are whose, and their tokenizers.

import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converted, Converter, ConvertOptions, ExternalFiles } from '../external.ts';
import { findTensors } from './files.ts';
import { isOpenClipConfig, type OpenClipConfig, readOpenClipConfig } from './open-clip-config.ts';
import { huggingFacePreprocessing, PREPROCESSING_HINTS, type Preprocessing } from './preprocessing.ts';
import { assertNothingMissing, chosenPreprocessing, openaiSettings } from './settings.ts';
import {
  assertTokenizerFits,
  cleanedFor,
  findTokenizer,
  type NamedTokenizer,
  specialTokensOf,
} from './tokenizer.ts';
import {
  type ConvertedClip,
  fromDallePytorch,
  fromHuggingFace,
  fromOpenai,
  isDallePytorch,
  isHuggingFace,
  isOpenai,
} from './weights.ts';

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new DataError('the file cannot be read as JSON', {
      code: 'E_NOT_JSON',
      where: path,
      fix: 'fetch it again',
      cause,
    });
  }
}

interface ReadClip {
  readonly what: string;
  readonly clip: ConvertedClip;
  readonly tokenizer: NamedTokenizer;
}

function converted({ what, clip, tokenizer }: ReadClip): Converted {
  const { image, embedding } = clip.model;
  assertTokenizerFits(tokenizer, clip.model);
  const tower =
    image.tower === 'resnet' ? 'ResNet' : `ViT of ${image.layers} layers and ${image.heads} heads`;
  return {
    what: `${what}, ${tower}, ${image.size} pixels, ${embedding} features`,
    contents: {
      kind: 'clip',
      config: { model: clip.model },
      model: clip.tensors,
      tokenizer: tokenizer.tokenizer,
    },
  };
}

export const huggingFaceClip: Converter = {
  reads: "Hugging Face's CLIP: the folder of config.json, model.safetensors and tokenizer.json",

  async convert(files, options) {
    const found = await findTensors(files, isHuggingFace);
    if (!found) return undefined;
    const config = files.named('config.json');
    if (config === undefined)
      throw new DataError('the weights have no config.json beside them', {
        code: 'E_WEIGHTS_INCOMPLETE',
        where: found.where,
        fix: `convert the whole folder: ${dirname(found.where)}`,
      });
    const value = await readJson(config);
    const { model } = fromHuggingFace(found.tensors, value, found.where);
    const preprocessing = await huggingFaceImages(files, options, model.image.size);
    if (!preprocessing) {
      assertNothingMissing([`\`preprocessing\`: ${PREPROCESSING_HINTS}`], 'preprocessing', found.where);
      return undefined;
    }
    const { imageSize: size, textLength: length } = options;
    const clip = fromHuggingFace(found.tensors, value, found.where, {
      image: { ...preprocessing, ...(size && { size }) },
      text: length ? { length } : {},
    });
    return converted({ what: "Hugging Face's CLIP", clip, tokenizer: await findTokenizer(files, options) });
  },
};

/** Of the options, or of the folder's preprocessor_config.json, or processor_config.json. */
async function huggingFaceImages(
  files: ExternalFiles,
  options: ConvertOptions,
  imageSize: number,
): Promise<Preprocessing | undefined> {
  const own = files.named('preprocessor_config.json');
  const whole = files.named('processor_config.json');
  const nested = whole && ((await readJson(whole)) as { image_processor?: unknown }).image_processor;
  const value = own ? await readJson(own) : nested;
  return chosenPreprocessing(options, () =>
    value ? huggingFacePreprocessing(value, imageSize, own ?? whole ?? '') : undefined,
  );
}

export const openaiClip: Converter = {
  reads: "OpenAI's CLIP (RN50.pt, ViT-B-32.pt, …), and open_clip's with its open_clip_config.json",

  async convert(files, options) {
    const config = await openClipConfig(files);
    const found = await findTensors(files, isOpenai);
    if (!found) return undefined;
    const tokenizer = cleanedFor(await findTokenizer(files, options, config), config);
    const { text, ...settings } = openaiSettings(found.tensors, config, options, found.where);
    const specialTokens = specialTokensOf(tokenizer, config);
    const clip = fromOpenai(found.tensors, found.where, {
      ...settings,
      text: { ...text, ...(specialTokens && { specialTokens }) },
    });
    return converted({ what: config ? "open_clip's CLIP" : "OpenAI's CLIP", clip, tokenizer });
  },
};

/** The configuration among the files, whatever its name. */
async function openClipConfig(files: ExternalFiles): Promise<OpenClipConfig | undefined> {
  for (const path of files.paths.filter((path) => path.endsWith('.json'))) {
    const value = await readJson(path).catch((error: unknown) => {
      if (basename(path) === 'open_clip_config.json') throw error;
    });
    if (isOpenClipConfig(value)) return readOpenClipConfig(value, path);
  }
  return undefined;
}

export const dallePytorchClip: Converter = {
  reads: "DALLE-pytorch's CLIP: its state dictionary, with --tokenizer",

  async convert(files, options) {
    const found = await findTensors(files, isDallePytorch);
    if (!found) return undefined;
    const clip = fromDallePytorch(found.tensors, found.where);
    for (const [option, wanted, own] of [
      ['imageSize', options.imageSize, clip.model.image.size],
      ['textLength', options.textLength, clip.model.text.length],
    ] as const)
      if (wanted !== undefined && wanted !== own)
        throw new UsageError(
          `DALLE-pytorch's CLIP keeps its positions: \`${option}\` is ${own}, received ${wanted}`,
          {
            code: 'E_CLIP_UNSUPPORTED',
            option,
            fix: `leave \`${option}\` out`,
          },
        );
    const tokenizer = cleanedFor(await findTokenizer(files, options));
    return converted({ what: "DALLE-pytorch's CLIP", clip, tokenizer });
  },
};
