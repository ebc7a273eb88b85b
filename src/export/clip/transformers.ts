// CLIP as a folder of transformers' CLIPModel.

import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { huggingFaceRules } from '../../convert/clip/names.ts';
import { INTERPOLATIONS } from '../../convert/clip/preprocessing.ts';
import { renameBack } from '../../convert/inverse.ts';
import { specialTokens } from '../../models/clip/config.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, jsonFile, safetensorsFile } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { hubTokenizer } from './hub-tokenizer.ts';
import { towerDemands } from './tower-demands.ts';

function assertExpressible(
  model: ExportModel,
  { architecture, loss, activation, image, text }: ClipModelConfig,
): void {
  assertDemands(
    model,
    "transformers' CLIPModel",
    [
      ['architecture', architecture, ['openai']],
      ['loss', loss, ['softmax']],
      ['activation', activation, ['quick-gelu', 'gelu']],
      ['image.tower', image.tower, ['vit']],
      ['image.patchBias', image.patchBias, [false]],
      ...towerDemands(image, text),
      ['image.inputNorm', image.inputNorm, [true]],
      ['image.pool', image.pool, ['class']],
      ['image.normBeforePool', image.normBeforePool, [false]],
      ['image.layerScale', image.layerScale, [undefined]],
      ['image.resize', image.resize, ['shortest', 'squash']],
      ['text.layerScale', text.layerScale, [undefined]],
      ['text.causal', text.causal, [true]],
      ['text.pool', text.pool, ['end']],
      ['text.specialTokens', text.specialTokens, [undefined]],
    ],
    architecture === 'openai' ? 'export it as open-clip' : 'export it as dalle-pytorch',
  );
}

const hidden = ({ width, mlpRatio }: { width: number; mlpRatio: number }): number =>
  Math.round(width * mlpRatio);

function modelConfig(config: ClipModelConfig, dtype: string): object {
  const { embedding, activation, image, text } = config;
  const { start, end, padding } = specialTokens(config);
  const tower = ({ width, layers, heads, mlpRatio, normEpsilon }: typeof image | typeof text) => ({
    hidden_size: width,
    intermediate_size: hidden({ width, mlpRatio }),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    hidden_act: activation.replace('-', '_'),
    layer_norm_eps: normEpsilon,
    projection_dim: embedding,
  });
  return {
    architectures: ['CLIPModel'],
    model_type: 'clip',
    projection_dim: embedding,
    dtype,
    text_config: {
      model_type: 'clip_text_model',
      ...tower(text),
      vocab_size: text.vocabulary,
      max_position_embeddings: text.length,
      bos_token_id: start,
      eos_token_id: end,
      pad_token_id: padding,
    },
    vision_config: {
      model_type: 'clip_vision_model',
      ...tower(image),
      image_size: image.size,
      patch_size: image.patch,
      num_channels: 3,
    },
  };
}

function preprocessorConfig({ image }: ClipModelConfig): object {
  const { size, resize, interpolation, mean, stddev } = image;
  const square = { height: size, width: size };
  const resample = Object.entries(INTERPOLATIONS).find(([, name]) => name === interpolation)?.[0];
  return {
    image_processor_type: 'CLIPImageProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: resize === 'squash' ? square : { shortest_edge: size },
    resample: Number(resample),
    do_center_crop: resize !== 'squash',
    crop_size: square,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: stddev,
  };
}

const PROCESSORS = ['preprocessor_config.json', 'processor_config.json'] as const;

export const clipToTransformers: Exporter = {
  format: 'transformers',
  kind: 'clip',
  writes: "CLIP as a folder of Hugging Face's CLIPModel, with its processor and tokenizer",

  async export(model) {
    const config = model.config(clipModelSchema);
    assertExpressible(model, config);
    const tensors = await model.tensors(clipSpec(config));
    const given = model.origin('transformers')?.files ?? {};
    const weights = new Map([
      ...renameBack(tensors, huggingFaceRules(config)),
      ...(await model.external('transformers')),
    ]);
    const dtype = weights.get('visual_projection.weight')?.dtype ?? 'float32';
    const processor = PROCESSORS.filter((name) => name in given);
    const preprocessing = processor.length > 0 ? processor : [PROCESSORS[0]];
    return {
      what: "Hugging Face's CLIPModel",
      folder: {
        'config.json': jsonFile(given['config.json'] ?? modelConfig(config, dtype)),
        'model.safetensors': safetensorsFile(weights),
        ...Object.fromEntries(
          preprocessing.map((name) => [name, jsonFile(given[name] ?? preprocessorConfig(config))]),
        ),
        ...hubTokenizer(model, config, await model.tokenizer(), { cleansItself: false, given }),
      },
    };
  },
};
