// A VQGAN as a checkpoint of taming-transformers, with its model.yaml.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type VqganConfig, vqganModelSchema } from '../../config/vqgan.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite } from '../../convert/torch/write.ts';
import { tamingRules } from '../../convert/vqgan/names.ts';
import { NORM_GROUPS } from '../../convert/vqgan/settings.ts';
import { vqganSpec } from '../../models/vqgan/model.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, torchFile, yamlFile } from '../format.ts';
import type { ExportModel } from '../model.ts';

/** A loss of taming's that has no weights: only training needs another. */
const NO_LOSS = { target: 'taming.modules.losses.DummyLoss' };
/** That of the published Gumbel VQGAN. */
const TEMPERATURE = {
  target: 'taming.lr_scheduler.LambdaWarmUpCosineScheduler',
  params: { warm_up_steps: 0, max_decay_steps: 1000001, lr_start: 0.9, lr_max: 0.9, lr_min: 1e-6 },
};
const GUMBEL_KL = 1e-8;

/** The tensors by taming's names. */
export async function tamingWeights(
  model: ExportModel,
  config: VqganConfig,
): Promise<Map<string, TensorSource>> {
  const { hiddenChannels, levelChannels, normGroups, quantizer, latentChannels, codebookDim } = config;
  const isMultiple = levelChannels.every((channels) => channels % hiddenChannels === 0);
  assertDemands(
    model,
    "taming-transformers' VQGAN",
    [
      ['normGroups', normGroups, [NORM_GROUPS]],
      [
        'levelChannels',
        isMultiple ? 'multiples' : levelChannels,
        [isMultiple ? 'multiples' : `multiples of ${hiddenChannels}`],
      ],
      // Without attention in the middle, latent-diffusion has none anywhere.
      ...(config.middleAttention ? [] : [['attentionLevels', config.attentionLevels, [[]]] as const]),
      ...(quantizer === 'gumbel' ? [['codebookDim', codebookDim, [latentChannels]] as const] : []),
    ],
    'export it as diffusers or saved-model',
  );
  return renameBack(await model.tensors(vqganSpec(config)), tamingRules(config));
}

function modelYaml(config: VqganConfig): object {
  const { imageSize, hiddenChannels, levelChannels, attentionLevels, quantizer, middleAttention } = config;
  const isGumbel = quantizer === 'gumbel';
  const target = middleAttention
    ? `taming.models.vqgan.${isGumbel ? 'GumbelVQ' : 'VQModel'}`
    : 'ldm.models.autoencoder.VQModel';
  return {
    model: {
      target,
      params: {
        embed_dim: config.codebookDim,
        n_embed: config.vocabulary,
        ...(isGumbel && { kl_weight: GUMBEL_KL, temperature_scheduler_config: TEMPERATURE }),
        ddconfig: {
          double_z: false,
          z_channels: config.latentChannels,
          resolution: imageSize,
          in_channels: 3,
          out_ch: 3,
          ch: hiddenChannels,
          ch_mult: levelChannels.map((channels) => channels / hiddenChannels),
          num_res_blocks: config.resnetBlocks,
          attn_resolutions: attentionLevels.map((level) => imageSize / 2 ** (level - 1)),
          ...(!middleAttention && { attn_type: 'none' }),
          dropout: 0,
        },
        lossconfig: NO_LOSS,
      },
    },
  };
}

export const vqganToTaming: Exporter = {
  format: 'taming',
  kind: 'dvae',
  architecture: 'vqgan',
  writes: 'a VQGAN as last.ckpt and model.yaml of taming-transformers',

  async export(model) {
    const config = model.config(vqganModelSchema);
    const weights = await tamingWeights(model, config);
    const yaml = model.origin('taming')?.files['model.yaml'] ?? modelYaml(config);
    return {
      what: "taming-transformers' VQGAN",
      folder: {
        'last.ckpt': torchFile(new Map([['state_dict', new StateDictToWrite(weights)]])),
        'model.yaml': yamlFile(yaml),
      },
    };
  },
};
