// CLIP as a folder of open_clip: open_clip_config.json, its weights and its tokenizer.

import { createHash } from 'node:crypto';
import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { openaiRules } from '../../convert/clip/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { specialTokens } from '../../models/clip/config.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { ClipTokenizer } from '../../tokenizers/clip.ts';
import { cleaningOf, mergesOf, type TokenizerJson } from '../../tokenizers/hugging-face/written.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, jsonFile, safetensorsFile, type WriteFile } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { batchCounters } from './batch-counters.ts';
import { hasPaddingToken, hubTokenizer } from './hub-tokenizer.ts';
import { towerDemands } from './tower-demands.ts';

/** SHA-256 of the lines of merges that open_clip's package and openai/CLIP have: 48,894 of bpe_simple_vocab_16e6.txt. */
const PUBLISHED_MERGES = 'f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a';

/** Whether the tokenizer is the one in open_clip's package. */
export const isPublished = (tokenizer: Tokenizer): boolean =>
  tokenizer instanceof ClipTokenizer &&
  createHash('sha256')
    .update(mergesOf(tokenizer.toJSON() as TokenizerJson).join('\n'))
    .digest('hex') === PUBLISHED_MERGES;

/** A ratio of which the program, which rounds down, makes the width that mm has. */
function mlpRatio({ width, mlpRatio: ratio }: { readonly width: number; readonly mlpRatio: number }): number {
  const hidden = Math.round(width * ratio);
  const exact = hidden / width;
  return Math.trunc(width * exact) === hidden ? exact : (hidden + 0.5) / width;
}

const EPSILON = 1e-5;

/** Settings of both towers' blocks, without those that are as open_clip has them by default. */
const blocks = (tower: ClipModelConfig['image'] | ClipModelConfig['text']) => ({
  ...(tower.mlpRatio !== 4 && { mlp_ratio: mlpRatio(tower) }),
  ...(tower.layerScale !== undefined && { ls_init_value: tower.layerScale }),
  ...(tower.normEpsilon !== EPSILON && { norm_kwargs: { eps: tower.normEpsilon } }),
});

function visionConfig({ image }: ClipModelConfig): object {
  const { tower, size, width, heads, patch } = image;
  if (tower === 'resnet')
    return {
      image_size: size,
      layers: image.blocks,
      width,
      patch_size: null,
      head_width: (width * 32) / heads,
    };
  return {
    image_size: size,
    layers: image.layers,
    width,
    head_width: width / heads,
    patch_size: patch,
    ...blocks(image),
    ...(!image.inputNorm && { no_ln_pre: true }),
    ...(image.pool === 'mean' && { pool_type: 'avg', final_ln_after_pool: !image.normBeforePool }),
  };
}

function textConfig(config: ClipModelConfig, tokenizer: Tokenizer, hub: boolean): object {
  const { text } = config;
  const { end, padding } = specialTokens(config);
  const cleaning = cleaningOf(tokenizer);
  const usual = hub ? 'whitespace' : 'lower';
  const kwargs = {
    ...(cleaning !== undefined && cleaning !== usual && { clean: cleaning }),
    ...(text.specialTokens?.end === 0 && { strip_sep_token: true }),
  };
  const isAtEnd = hub && !(tokenizer instanceof ClipTokenizer);
  const pool = text.pool === 'last' ? 'last' : isAtEnd ? 'eos' : 'argmax';
  return {
    context_length: text.length,
    vocab_size: text.vocabulary,
    width: text.width,
    heads: text.heads,
    layers: text.layers,
    ...blocks(text),
    ...(hub && { hf_tokenizer_name: 'local' }),
    ...(Object.keys(kwargs).length > 0 && { tokenizer_kwargs: kwargs }),
    ...(!text.causal && { no_causal_mask: true }),
    ...(pool !== 'argmax' && { pool_type: pool }),
    ...(pool === 'eos' && { eos_id: end }),
    ...(padding !== 0 && { pad_id: padding }),
  };
}

const preprocessConfig = ({ image }: ClipModelConfig): object => ({
  size: [image.size, image.size],
  mode: 'RGB',
  mean: image.mean,
  std: image.stddev,
  interpolation: image.interpolation,
  resize_mode: image.resize,
  fill_color: image.fill,
});

/** @throws DataError where the program would pad texts with another token, and the text tower reads it */
function assertPads(model: ExportModel, config: ClipModelConfig, tokenizer: Tokenizer): void {
  const { causal, pool } = config.text;
  if ((causal && pool === 'end') || isPublished(tokenizer) || hasPaddingToken(config, tokenizer)) return;
  const { padding } = specialTokens(config);
  throw model.unsupported(
    `the text tower reads the padding of texts, id ${padding}, and in a tokenizer.json that id is a part of words, which no text can be padded with`,
    'train with a causal text tower and the pool `end`, or with a tokenizer whose padding is a special token',
  );
}

export const clipToOpenClip: Exporter = {
  format: 'open-clip',
  kind: 'clip',
  writes: 'CLIP as a folder of open_clip, with its configuration and tokenizer',

  async export(model) {
    const config = model.config(clipModelSchema);
    const { architecture, loss, activation, image, text } = config;
    assertDemands(
      model,
      "open_clip's CLIP",
      [
        ['architecture', architecture, ['openai']],
        ['loss', loss, ['softmax']],
        ['activation', activation, ['quick-gelu', 'gelu']],
        ['image.patchBias', image.patchBias, [false]],
        ['image.pool', image.pool, ['class', 'mean']],
        ...towerDemands(image, text),
      ],
      architecture === 'dalle-pytorch' ? 'export it as dalle-pytorch' : 'export it as saved-model',
    );
    const tokenizer = await model.tokenizer();
    const given = model.origin('open-clip')?.files ?? {};
    const hub = !isPublished(tokenizer);
    if (!('open_clip_config.json' in given)) {
      assertPads(model, config, tokenizer);
      if (cleaningOf(tokenizer) === undefined)
        model.notes.push(
          'open_clip cleans texts of mojibake and character references, which this model was not trained with: such texts get other ids there',
        );
    }
    const tensors = await model.tensors(clipSpec(config));
    const external = await model.external('open-clip');
    const fresh = {
      model_cfg: {
        embed_dim: config.embedding,
        ...(config.activation === 'quick-gelu' && { quick_gelu: true }),
        vision_cfg: visionConfig(config),
        text_cfg: textConfig(config, tokenizer, hub),
      },
      preprocess_cfg: preprocessConfig(config),
    };
    const files: Record<string, WriteFile> = {
      'open_clip_config.json': jsonFile(given['open_clip_config.json'] ?? fresh),
      'open_clip_model.safetensors': safetensorsFile(
        new Map([
          ...renameBack(tensors, openaiRules(config)),
          ...batchCounters(model, 'open-clip', config),
          ...external,
        ]),
      ),
    };
    const tokenizerFiles = hubTokenizer(model, config, tokenizer, { cleansItself: true, given });
    return { what: "open_clip's CLIP", folder: { ...files, ...tokenizerFiles } };
  },
};
