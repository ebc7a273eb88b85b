// CLIPs of other programs for `mm convert`: which files are whose, and their tokenizers.

import { readFile, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converter, ConvertOptions, ExternalFiles } from '../external.ts';
import { type FoundModel, findModel } from '../files/find.ts';
import { jsonFiles, type Origin } from '../origin.ts';
import { externalNames } from '../rules.ts';
import { converted } from './contents.ts';
import { fromHuggingFace, fromHuggingFaceSiglip } from './hugging-face.ts';
import { dallePytorchRules, huggingFaceRules, huggingFaceSiglipRules, openaiRules } from './names.ts';
import { isOpenClipConfig, type OpenClipConfig, readOpenClipConfig } from './open-clip-config.ts';
import { huggingFacePreprocessing, PREPROCESSING_HINTS, type Preprocessing } from './preprocessing.ts';
import { assertOfConfig, ruClipConfig, ruClipSettings, ruClipTokenizer } from './ruclip.ts';
import { assertNothingMissing, chosenPreprocessing, isOpenaiArchive, openaiSettings } from './settings.ts';
import { siglipRepository, siglipTokenizer } from './siglip-tokenizer.ts';
import { cleanedFor, findTokenizer, specialTokensOf } from './tokenizer.ts';
import { fromDallePytorch, fromOpenai, SIGLIP_PROBE } from './weights.ts';

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

/** Files beside the weights that only say what a tokenizer of theirs needs. */
const TOKENIZER_FILES = ['tokenizer_config.json', 'special_tokens_map.json'];
const PREPROCESSING_FILES = ['preprocessor_config.json', 'processor_config.json'];

/** A tensor of either text tower, and others that every model of the kind has. */
const ANCHORS = {
  huggingFace: ['vision_model.pre_layrnorm.weight', 'text_projection.weight'],
  openai: ['ln_final.weight', 'positional_embedding', 'text_projection'],
  openClipSiglip: [SIGLIP_PROBE, 'ln_final.weight', 'positional_embedding'],
  siglip: ['vision_model.head.probe', 'text_model.final_layer_norm.weight', 'text_model.head.weight'],
  dallePytorch: ['to_visual_latent.weight', 'to_text_latent.weight'],
} as const;

/** open_clip's text tower with `custom_text`. */
const TEXT =
  /(^|\.)text\.(?=transformer\.|token_embedding\.|positional_embedding$|ln_final\.|text_projection(\.|$))/;

async function openaiModel(files: ExternalFiles, { part }: ConvertOptions): Promise<FoundModel | undefined> {
  const rename = (name: string): string => name.replace(TEXT, '$1');
  return (
    (await findModel(files, { anchors: ANCHORS.openai, rename, part })) ??
    findModel(files, { anchors: ANCHORS.openClipSiglip, rename, part })
  );
}

/** Names of a model of one layer. */
const SMALL = clipModelSchema.parse({
  embedding: 64,
  image: { size: 32, patch: 16, width: 64, layers: 1, heads: 1 },
  text: { vocabulary: 8, length: 8, width: 64, layers: 1, heads: 1 },
});

export const huggingFaceClip: Converter = {
  reads: "Hugging Face's CLIP: the folder of config.json, model.safetensors and tokenizer.json",
  takes: ['imageSize', 'textLength', 'tokenizer', 'preprocessing', 'mean', 'std'],
  names: externalNames(huggingFaceRules(SMALL)),

  async convert(files, options) {
    const found = await findModel(files, { anchors: ANCHORS.huggingFace, part: options.part });
    if (!found) return undefined;
    const value = await huggingFaceConfig(files, found);
    const { model } = fromHuggingFace(found.tensors, value, found.where);
    const preprocessing = await huggingFaceImages(files, options, 'clip', model.image.size);
    if (!preprocessing) {
      assertNothingMissing([`\`preprocessing\`: ${PREPROCESSING_HINTS}`], 'preprocessing', found.where);
      return undefined;
    }
    const { imageSize: size, textLength: length } = options;
    const clip = fromHuggingFace(found.tensors, value, found.where, {
      image: { ...preprocessing, ...(size && { size }) },
      text: length ? { length } : {},
    });
    const names = ['config.json', ...PREPROCESSING_FILES, ...TOKENIZER_FILES];
    return converted(files, options, {
      what: "Hugging Face's CLIP",
      origin: { format: 'transformers', files: await jsonFiles(files, names) },
      clip,
      tokenizer: await findTokenizer(files, options),
    });
  },
};

export const huggingFaceSiglip: Converter = {
  reads:
    "Hugging Face's SigLIP and SigLIP 2: the folder of config.json, model.safetensors and tokenizer.json or spiece.model",
  takes: ['tokenizer', 'preprocessing', 'mean', 'std'],
  names: externalNames(huggingFaceSiglipRules(SMALL)),

  async convert(files, options) {
    const found = await findModel(files, { anchors: ANCHORS.siglip, part: options.part });
    if (!found) return undefined;
    const value = await huggingFaceConfig(files, found);
    const { model } = fromHuggingFaceSiglip(found.tensors, value, found.where);
    const { size, patch } = model.image;
    const preprocessing = await huggingFaceImages(files, options, 'siglip', size);
    if (!preprocessing) {
      assertNothingMissing([`\`preprocessing\`: ${PREPROCESSING_HINTS}`], 'preprocessing', found.where);
      return undefined;
    }
    const named = await findTokenizer(files, options, siglipRepository(model.text.vocabulary));
    const tokenizer = siglipTokenizer(named, files.notes);
    const clip = fromHuggingFaceSiglip(found.tensors, value, found.where, {
      image: preprocessing,
      text: { specialTokens: tokenizer.specialTokens },
    });
    if (size % patch > 0) files.notes.push(leftOver(clip.model));
    const names = ['config.json', ...PREPROCESSING_FILES, ...TOKENIZER_FILES];
    const origin: Origin = { format: 'transformers', files: await jsonFiles(files, names) };
    return converted(files, options, { what: "Hugging Face's SigLIP", origin, clip, tokenizer });
  },
};

const leftOver = ({ image: { size, patch } }: ClipModelConfig): string =>
  `${size} pixels are no multiple of the patches' ${patch}: the last ${size % patch} columns and rows are not read, as there`;

/** The parsed config.json beside the weights. */
async function huggingFaceConfig(files: ExternalFiles, { where }: FoundModel): Promise<unknown> {
  const config = files.named('config.json');
  if (config !== undefined) return readJson(config);
  throw new DataError('the weights have no config.json beside them', {
    code: 'E_WEIGHTS_INCOMPLETE',
    where,
    fix: `convert the whole folder: ${dirname(where)}`,
  });
}

/** Of the options, or of the folder's preprocessor_config.json, or processor_config.json. */
async function huggingFaceImages(
  files: ExternalFiles,
  options: ConvertOptions,
  model: 'clip' | 'siglip',
  imageSize: number,
): Promise<Preprocessing | undefined> {
  const own = files.named('preprocessor_config.json');
  const whole = files.named('processor_config.json');
  const nested = whole && ((await readJson(whole)) as { image_processor?: unknown } | null)?.image_processor;
  const value = own ? await readJson(own) : nested;
  return chosenPreprocessing(options, () =>
    value ? huggingFacePreprocessing(value, model, imageSize, own ?? whole ?? '') : undefined,
  );
}

export const ruClip: Converter = {
  reads: 'ruCLIP: the folder of its pytorch_model.bin, config.json and bpe.model',
  takes: ['imageSize', 'textLength', 'tokenizer', 'mean', 'std'],

  async convert(files, options) {
    const found = await openaiModel(files, options);
    if (!found) return undefined;
    const path = files.named('config.json');
    const config = ruClipConfig(files, path && (await readJson(path)));
    if (!config) return undefined;
    const { tensors, where } = found;
    assertOfConfig(tensors, config, where);
    const tokenizer = ruClipTokenizer(await findTokenizer(files, options));
    const clip = fromOpenai(tensors, where, ruClipSettings(config, options));
    files.notes.push(
      'images that are not square are reduced before the crop to the central square, and ruclip crops first: less than a pixel',
    );
    const origin: Origin = { format: 'openai', files: await jsonFiles(files, ['config.json']) };
    return converted(files, options, { what: 'ruCLIP', origin, clip, tokenizer });
  },
};

export const openaiClip: Converter = {
  reads: "OpenAI's CLIP (RN50.pt, ViT-B-32.pt, …), and open_clip's with its open_clip_config.json",
  takes: [
    ...(['imageSize', 'textLength', 'tokenizer', 'preprocessing', 'mean', 'std'] as const),
    ...(['activation', 'heads', 'textHeads'] as const),
  ],
  names: externalNames(openaiRules(SMALL)),

  async convert(files, options) {
    const config = await openClipConfig(files);
    const found = await openaiModel(files, options);
    if (!found) return undefined;
    const tokenizer = cleanedFor(
      await findTokenizer(files, options, config?.model.text_cfg.hf_tokenizer_name),
      config,
    );
    const { text, ...settings } = openaiSettings(found.tensors, config, options, found.where);
    const specialTokens = specialTokensOf(tokenizer, config);
    const clip = fromOpenai(found.tensors, found.where, {
      ...settings,
      text: { ...text, ...(specialTokens && { specialTokens }) },
    });
    if (!config && !isOpenaiArchive(found.tensors)) files.notes.push(assumed(clip.model));
    const { image, loss } = clip.model;
    const named = config?.model.vision_cfg.layers;
    if (image.pool === 'map' && named !== image.layers)
      files.notes.push(`the image tower has ${image.layers} layers, and its name says ${named}`);
    if (image.pool === 'map' && image.size % image.patch > 0) files.notes.push(leftOver(clip.model));
    const theirs = loss === 'sigmoid' ? "open_clip's SigLIP" : "open_clip's CLIP";
    const names = ['open_clip_config.json', ...TOKENIZER_FILES];
    const origin: Origin = config
      ? { format: 'open-clip', files: await jsonFiles(files, names) }
      : { format: 'openai', files: {} };
    const what = config ? theirs : "OpenAI's CLIP";
    return converted(files, options, { what, origin, clip, tokenizer });
  },
};

/** What weights alone do not tell, and nobody is asked for. */
const assumed = ({ image, text }: ClipModelConfig): string =>
  `no configuration is beside the weights: taken with ${image.heads} heads of the image tower and ${text.heads} of the text tower, ${image.tower === 'vit' ? 'the features of the class token, ' : ''}a causal text tower and norms' epsilon of ${text.normEpsilon}, as most of open_clip's models`;

/** Larger JSON files are annotations and vocabularies. */
const MAX_CONFIG_BYTES = 2 ** 20;

/** The configuration among the files, whatever its name. @throws DataError E_WEIGHTS_AMBIGUOUS when there are several */
async function openClipConfig(files: ExternalFiles): Promise<OpenClipConfig | undefined> {
  const found = new Map<string, unknown>();
  for (const path of files.paths.filter((path) => path.endsWith('.json'))) {
    if ((await stat(path)).size > MAX_CONFIG_BYTES) continue;
    const value = await readJson(path).catch((error: unknown) => {
      if (basename(path) === 'open_clip_config.json') throw error;
    });
    if (isOpenClipConfig(value)) found.set(path, value);
  }
  const path = files.only([...found.keys()]);
  return path === undefined ? undefined : readOpenClipConfig(found.get(path), path);
}

export const dallePytorchClip: Converter = {
  reads: "DALLE-pytorch's CLIP: its state dictionary, with its tokenizer as `tokenizer`",
  takes: ['imageSize', 'textLength', 'tokenizer'],
  names: externalNames(dallePytorchRules({ ...SMALL, architecture: 'dalle-pytorch' })),

  async convert(files, options) {
    const found = await findModel(files, { anchors: ANCHORS.dallePytorch, part: options.part });
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
    const origin: Origin = { format: 'dalle-pytorch', files: {} };
    return converted(files, options, { what: "DALLE-pytorch's CLIP", origin, clip, tokenizer });
  },
};
