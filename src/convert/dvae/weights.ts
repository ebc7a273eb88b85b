// The dVAE's weights as their first programs keep them, renamed and turned for ours. Kernels there are [out, in, high,
// wide], here [high, wide, in, out].

import { matchTensors } from '../../checkpoint/match.ts';
import { type DvaeModelConfig, dvaeModelSchema } from '../../config/dvae.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { flatten } from '../../nn/parameters.ts';
import { DataError } from '../../util/errors.ts';
import {
  type Converted,
  type Converter,
  type ConvertOptions,
  type ExternalFile,
  type ExternalFiles,
  weightSource,
} from '../external.ts';
import { type PickleMap, PickleObject, type PickleValue } from '../pickle/values.ts';
import { type StateDict, stateDict } from '../torch/state-dict.ts';
import type { TorchTensor } from '../torch/tensor.ts';

/** Pixels on a side that OpenAI's dVAE was trained for. */
const PUBLISHED_SIZE = 256;

type Named = readonly [name: string, tensor: TorchTensor];

/** Kernels turned; biases and embeddings as they are. */
const turned = (tensor: TorchTensor): TorchTensor =>
  tensor.shape.length === 4 ? tensor.permute(2, 3, 1, 0) : tensor;

function converted(what: string, settings: object, tensors: readonly Named[], where: string): Converted {
  const parsed = dvaeModelSchema.safeParse(settings);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new DataError(`its ${issue?.path.join('.')} cannot be used: ${issue?.message}`, {
      code: 'E_WEIGHTS_UNSUPPORTED',
      where,
      fix: 'convert a model of other sizes',
    });
  }
  const model: DvaeModelConfig = parsed.data;
  const found = new Map(tensors);
  matchTensors(
    found,
    flatten(dvaeArchitecture(model).spec),
    where,
    'name the files of one model, all of them',
  );
  const contents = {
    kind: 'dvae' as const,
    config: { model },
    model: [...found].map(([name, tensor]) => [name, weightSource(name, tensor, where)] as const),
  };
  return { what: `${what}, ${model.vocabulary} codes, ${model.imageSize} pixels`, contents };
}

/** encoder.pkl and decoder.pkl of openai/DALL-E: modules saved whole, or their state dictionaries. */
export const openaiDvae: Converter = {
  reads: "OpenAI's dVAE: encoder.pkl and decoder.pkl, or their folder",

  async convert(files: ExternalFiles, { imageSize = PUBLISHED_SIZE }: ConvertOptions) {
    const coders = (await files.torchFiles()).flatMap((file) => {
      const coder = openaiCoder(file);
      return coder === undefined ? [] : [coder];
    });
    if (coders.length === 0) return undefined;
    const encoder = coders.find(({ role }) => role === 'encoder');
    const decoder = coders.find(({ role }) => role === 'decoder');
    if (!encoder || !decoder || coders.length > 2) {
      const got = coders.map(({ role }) => role).join(' and ');
      throw new DataError(`a dVAE is one encoder and one decoder; these files are ${got}`, {
        code: 'E_WEIGHTS_INCOMPLETE',
        where: files.where,
        fix: 'name both: mm convert encoder.pkl decoder.pkl --to DIR',
      });
    }
    const names = [...encoder.tensors.keys()];
    const count = (pattern: RegExp): number =>
      new Set(names.flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
    const settings = {
      architecture: 'openai',
      imageSize,
      groups: count(/^blocks\.group_(\d+)\./),
      blocksPerGroup: count(/^blocks\.group_1\.block_(\d+)\./),
      hiddenChannels: encoder.tensors.get('blocks.input.w')?.shape[0],
      decoderInput: decoder.tensors.get('blocks.input.w')?.shape[0],
      vocabulary: encoder.tensors.get('blocks.output.conv.w')?.shape[0],
    };
    const tensors = [encoder, decoder].flatMap(({ role, tensors: theirs }) =>
      Array.from(theirs, ([name, tensor]): Named => [`${role}.${openaiName(name)}`, turned(tensor)]),
    );
    return converted("OpenAI's dVAE", settings, tensors, files.where);
  },
};

/** blocks.group_1.block_1.res_path.conv_1.w → group_1.block_1.res_path.conv_1.weight */
export const openaiName = (name: string): string =>
  name
    .replace(/^blocks\./, '')
    .replace(/^output\.conv\./, 'output.')
    .replace(/\.w$/, '.weight')
    .replace(/\.b$/, '.bias');

interface Coder {
  readonly role: 'encoder' | 'decoder';
  readonly tensors: StateDict;
}

/** Which half of OpenAI's dVAE is in a file: the first convolution of the encoder is wider than 1×1. */
function openaiCoder({ path, value }: ExternalFile): Coder | undefined {
  const isModule = value instanceof PickleObject && value.className.startsWith('dall_e.');
  const isDictionary = value instanceof Map && value.has('blocks.input.w');
  if (!isModule && !isDictionary) return undefined;
  const tensors = stateDict(value, path);
  const side = tensors.get('blocks.input.w')?.shape[2];
  return { role: side === 1 ? 'decoder' : 'encoder', tensors };
}

/** vae.pt of DALLE-pytorch's train_vae: { hparams, weights }. */
export const dallePytorchDvae: Converter = {
  reads: "DALLE-pytorch's DiscreteVAE: the vae.pt of its train_vae",

  async convert(files: ExternalFiles) {
    const found = (await files.torchFiles()).find(({ value }) => isDiscreteVae(value));
    if (!found) return undefined;
    const { path, value } = found;
    const contents = value as PickleMap;
    return discreteVae(
      contents.get('hparams') ?? null,
      stateDict(contents.get('weights') ?? null, path),
      path,
    );
  },
};

const isDiscreteVae = (value: PickleValue): boolean =>
  value instanceof Map &&
  value.get('hparams') instanceof Map &&
  value.get('weights') instanceof Map &&
  (value.get('weights') as Map<PickleValue, PickleValue>).has('codebook.weight');

/**
 * A DiscreteVAE from its settings (the arguments of its constructor) and its weights; a DALLE checkpoint has them as
 * `vae_params`, and under `vae.`.
 * @throws DataError when they do not fit together, or it is one that mm does not have
 */
export function discreteVae(hparams: PickleValue, tensors: StateDict, where: string): Converted {
  const given = hparams instanceof Map ? hparams : new Map<PickleValue, PickleValue>();
  const channels = given.get('channels') ?? 3;
  if (channels !== 3) {
    throw new DataError(`a dVAE of images with ${String(channels)} channels`, {
      where,
      fix: 'mm has images of red, green and blue; convert one trained without --transparent',
    });
  }
  const layers = Number(given.get('num_layers') ?? 3);
  const blocks = Number(given.get('num_resnet_blocks') ?? 0);
  const settings = {
    architecture: 'dalle-pytorch',
    imageSize: given.get('image_size'),
    layers,
    resnetBlocks: blocks,
    hiddenChannels: given.get('hidden_dim'),
    codebookDim: given.get('codebook_dim'),
    vocabulary: given.get('num_tokens'),
    reconstruction: given.get('smooth_l1_loss') === true ? 'smooth-l1' : 'mse',
    straightThrough: given.get('straight_through'),
    reinmax: given.get('reinmax') === true && given.get('straight_through') === true,
    normalization: given.has('normalization') ? normalizationOf(given.get('normalization')) : undefined,
  };
  const named = Array.from(
    tensors,
    ([name, tensor]): Named => [discreteVaeName(name, layers, blocks), turned(tensor)],
  );
  return converted("DALLE-pytorch's DiscreteVAE", settings, named, where);
}

/** ((red, green, blue, alpha) means, deviations), or None for images as they are. */
function normalizationOf(value: PickleValue | undefined): object {
  const [means, stds] = Array.isArray(value)
    ? value
    : [
        [0, 0, 0],
        [1, 1, 1],
      ];
  const colours = (numbers: PickleValue | undefined): PickleValue[] =>
    Array.isArray(numbers) ? numbers.slice(0, 3) : [];
  return { means: colours(means), stds: colours(stds) };
}

/** Their positions in a row of layers → our names: encoder.0.0.weight → encoder.layers.layer_1.weight. */
function discreteVaeName(name: string, layers: number, blocks: number): string {
  if (name === 'codebook.weight') return 'codebook';
  const parts = /^(encoder|decoder)\.(\d+)\.(?:net\.(\d)\.|0\.)?(weight|bias)$/.exec(name);
  if (!parts) return name;
  const [, coder, position, inner, leaf] = parts;
  // Encoder: layers, resblocks, output. Decoder: input (with resblocks only), resblocks, layers, output.
  const isEncoder = coder === 'encoder';
  const index = Number(position) - (isEncoder || blocks === 0 ? 0 : 1);
  const block = index - (isEncoder ? layers : 0);
  const layer = index - (isEncoder ? 0 : blocks);
  if (index === -1) return `${coder}.input.${leaf}`;
  if (inner !== undefined) return `${coder}.blocks.block_${block + 1}.conv_${Number(inner) / 2 + 1}.${leaf}`;
  if (index === layers + blocks) return `${coder}.output.${leaf}`;
  return `${coder}.layers.layer_${layer + 1}.${leaf}`;
}
