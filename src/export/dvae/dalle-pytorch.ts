// DALLE-pytorch's DiscreteVAE as the vae.pt of its train_vae.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type DallePytorchDvaeConfig, dallePytorchModelSchema } from '../../config/dvae.ts';
import { discreteVaeRules } from '../../convert/dvae/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite, type TorchValue } from '../../convert/torch/write.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { assertDemands } from '../demands.ts';
import { type Exporter, torchFile } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { torchValue } from '../values.ts';

/** The arguments of DiscreteVAE(…): those of the file that it came from, or all that decide the model. */
function argumentsOf(model: ExportModel, config: DallePytorchDvaeConfig): TorchValue {
  const given = model.origin('dalle-pytorch')?.files.hparams;
  if (given !== undefined) return torchValue(given);
  const { means, stds } = config.normalization;
  return torchValue({
    image_size: config.imageSize,
    num_layers: config.layers,
    num_tokens: config.vocabulary,
    codebook_dim: config.codebookDim,
    hidden_dim: config.hiddenChannels,
    num_resnet_blocks: config.resnetBlocks,
    smooth_l1_loss: config.reconstruction === 'smooth-l1',
    straight_through: config.straightThrough,
    reinmax: config.reinmax,
    // Of red, green, blue and alpha, which is not there.
    normalization: [
      [...means, 0],
      [...stds, 1],
    ],
  });
}

/** The arguments and the weights. */
export async function discreteVae(
  model: ExportModel,
  config: DallePytorchDvaeConfig,
): Promise<{ readonly settings: TorchValue; readonly weights: Map<string, TensorSource> }> {
  const powers = Array.from({ length: 16 }, (_, i) => 2 ** i);
  const { imageSize } = config;
  if (!powers.includes(imageSize))
    assertDemands(
      model,
      'DiscreteVAE',
      [['imageSize', imageSize, ['a power of 2']]],
      'export it as saved-model',
    );
  const tensors = await model.tensors(dvaeArchitecture(config).spec);
  return { settings: argumentsOf(model, config), weights: renameBack(tensors, discreteVaeRules(config)) };
}

export const dvaeToDallePytorch: Exporter = {
  format: 'dalle-pytorch',
  kind: 'dvae',
  architecture: 'dalle-pytorch',
  writes: "a dVAE of architecture dalle-pytorch as the vae.pt of DALLE-pytorch's train_vae",

  async export(model) {
    const config = model.config(dallePytorchModelSchema);
    const { settings, weights } = await discreteVae(model, config);
    return {
      what: "DALLE-pytorch's DiscreteVAE",
      file: torchFile(
        new Map<string, TorchValue>([
          ['hparams', settings],
          ['weights', new StateDictToWrite(weights)],
        ]),
      ),
    };
  },
};
