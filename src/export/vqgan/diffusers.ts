// A VQGAN as the folder of a VQModel of diffusers.

import { type VqganConfig, vqganModelSchema } from '../../config/vqgan.ts';
import { renameBack } from '../../convert/inverse.ts';
import { DEFAULT_SAMPLE_SIZE } from '../../convert/vqgan/diffusers.ts';
import { diffusersRules } from '../../convert/vqgan/names.ts';
import { vqganSpec } from '../../models/vqgan/model.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, jsonFile, safetensorsFile } from '../format.ts';

function modelConfig(config: VqganConfig): object {
  const { levelChannels, attentionLevels } = config;
  const types = (direction: 'Down' | 'Up', coder: 'Encoder' | 'Decoder'): string[] =>
    levelChannels.map(
      (_, i) => `${attentionLevels.includes(i + 1) ? 'Attn' : ''}${direction}${coder}Block2D`,
    );
  return {
    _class_name: 'VQModel',
    in_channels: 3,
    out_channels: 3,
    down_block_types: types('Down', 'Encoder'),
    up_block_types: types('Up', 'Decoder').toReversed(),
    block_out_channels: levelChannels,
    layers_per_block: config.resnetBlocks,
    act_fn: 'silu',
    latent_channels: config.latentChannels,
    sample_size: config.imageSize,
    num_vq_embeddings: config.vocabulary,
    norm_num_groups: config.normGroups,
    vq_embed_dim: config.codebookDim,
    norm_type: 'group',
    mid_block_add_attention: config.middleAttention,
  };
}

export const vqganToDiffusers: Exporter = {
  format: 'diffusers',
  kind: 'dvae',
  architecture: 'vqgan',
  writes: 'a VQGAN as the folder of a VQModel of diffusers',

  async export(model) {
    const config = model.config(vqganModelSchema);
    const { hiddenChannels, levelChannels, quantizer, imageSize } = config;
    assertDemands(
      model,
      "diffusers' VQModel",
      [
        ['quantizer', quantizer, ['nearest']],
        ['hiddenChannels', hiddenChannels, [levelChannels[0]]],
      ],
      'export it as taming or saved-model',
    );
    if (imageSize === DEFAULT_SAMPLE_SIZE)
      model.notes.push(
        `sample_size is ${imageSize}, which is the default of diffusers too: mm convert asks for the size of the images then`,
      );
    const weights = renameBack(await model.tensors(vqganSpec(config)), diffusersRules(config));
    return {
      what: "diffusers' VQModel",
      folder: {
        'config.json': jsonFile(model.origin('diffusers')?.files['config.json'] ?? modelConfig(config)),
        'diffusion_pytorch_model.safetensors': safetensorsFile(weights),
      },
    };
  },
};
