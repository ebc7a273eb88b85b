// Converters of dVAEs: OpenAI's, and the DiscreteVAE of DALLE-pytorch. names.ts has the names of their tensors.

import { matchTensors } from '../../checkpoint/match.ts';
import { type TrainedDvaeConfig, trainedModelSchema } from '../../config/dvae.ts';
import { dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { flatten } from '../../nn/parameters.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converted, Converter, ConvertOptions, ExternalDict, ExternalFiles } from '../external.ts';
import { findFile } from '../files/find.ts';
import { partsWith, unwrapped } from '../files/names.ts';
import { type Origin, toJson } from '../origin.ts';
import type { PickleMap, PickleValue } from '../pickle/values.ts';
import { externalNames, rename } from '../rules.ts';
import { type StateDict, stateDict } from '../torch/state-dict.ts';
import { discreteVaeRules, openaiRules } from './names.ts';

/** Pixels on a side of the images that OpenAI's dVAE was trained with. */
const PUBLISHED_SIZE = 256;

const INCOMPLETE = 'give all files of one model';

/** Throws DataError when a setting is not one that mm has, UsageError when it is the given size of the images. */
function parseModel(settings: object, where: string): TrainedDvaeConfig {
  const parsed = trainedModelSchema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  // The weights of OpenAI's do not say it, so that it was given.
  if ('architecture' in settings && settings.architecture === 'openai' && issue?.path[0] === 'imageSize')
    throw new UsageError(`\`imageSize\`: ${issue.message}`, {
      code: 'E_OPTION_VALUE',
      option: 'imageSize',
      where,
      fix: `give such a size, or leave it out for ${PUBLISHED_SIZE}`,
    });
  throw new DataError(`its ${issue?.path.join('.')} cannot be used: ${issue?.message}`, {
    code: 'E_WEIGHTS_UNSUPPORTED',
    where,
    fix: 'convert a model of other sizes',
  });
}

function converted(
  name: string,
  settings: object,
  tensors: StateDict,
  where: string,
  source?: Origin,
): Converted {
  const model = parseModel(settings, where);
  const rules = model.architecture === 'openai' ? openaiRules(model) : discreteVaeRules(model);
  const { found, unknown } = rename(tensors, rules, where);
  const all = new Map<string, { readonly shape: readonly number[] }>([...found, ...unknown]);
  matchTensors(all, flatten(dvaeArchitecture(model).spec), where, INCOMPLETE);
  return {
    what: `${name}, ${model.vocabulary} codes, ${model.imageSize} pixels`,
    contents: { kind: 'dvae', config: { model, ...(source && { source }) }, model: found },
  };
}

/** encoder.pkl and decoder.pkl of openai/DALL-E: whole modules, or their state dictionaries. */
export const openaiDvae: Converter = {
  reads: "OpenAI's dVAE: encoder.pkl and decoder.pkl, or their folder",
  takes: ['imageSize'],
  names: externalNames(openaiRules({ groups: 1, blocksPerGroup: 1 })),

  async convert(files: ExternalFiles, { imageSize = PUBLISHED_SIZE }: ConvertOptions) {
    const coders = (await files.stateDicts()).flatMap(openaiCoders);
    if (coders.length === 0) return undefined;
    const encoder = coders.find(({ role }) => role === 'encoder');
    const decoder = coders.find(({ role }) => role === 'decoder');
    if (!encoder || !decoder || coders.length > 2) {
      const got = coders.map(({ role }) => role).join(' and ');
      throw new DataError(`a dVAE has one encoder and one decoder; the files hold ${got}`, {
        code: 'E_WEIGHTS_INCOMPLETE',
        where: files.where,
        fix: 'give both encoder.pkl and decoder.pkl',
      });
    }
    for (const { where } of coders) files.used.add(where);
    return openaiVae(encoder.tensors, decoder.tensors, () => imageSize, files.where);
  },
};

/**
 * Converts OpenAI's dVAE.
 * @param imageSize pixels on a side of the images, of the number of groups; the weights do not say it
 * @throws DataError when the halves do not match, or mm does not have such a dVAE
 */
export function openaiVae(
  encoder: StateDict,
  decoder: StateDict,
  imageSize: (groups: number) => number,
  where: string,
): Converted {
  const names = [...encoder.keys()];
  const count = (pattern: RegExp): number =>
    new Set(names.flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
  const groups = count(/^blocks\.group_(\d+)\./);
  const settings = {
    architecture: 'openai',
    imageSize: imageSize(groups),
    groups,
    blocksPerGroup: count(/^blocks\.group_1\.block_(\d+)\./),
    hiddenChannels: encoder.get('blocks.input.w')?.shape[0],
    decoderInput: decoder.get('blocks.input.w')?.shape[0],
    vocabulary: encoder.get('blocks.output.conv.w')?.shape[0],
  };
  const tensors = Object.entries({ encoder, decoder }).flatMap(([role, half]) =>
    Array.from(half, ([name, tensor]) => [`${role}.${name}`, tensor] as const),
  );
  return converted("OpenAI's dVAE", settings, new Map(tensors), where);
}

interface Coder {
  readonly role: 'encoder' | 'decoder';
  readonly where: string;
  readonly tensors: StateDict;
}

/** Halves in one file have names that begin with what they are. A DALLE-pytorch checkpoint has them under `vae.`. */
const PREFIXES = ['', 'encoder.', 'decoder.', 'enc.', 'dec.'];

/** The halves of OpenAI's dVAE in a state dictionary: only the decoder begins with a 1×1 convolution. */
const openaiCoders = ({ tensors, where }: ExternalDict): Coder[] =>
  partsWith(unwrapped(tensors), ['blocks.input.w', 'blocks.output.conv.w']).flatMap(
    ({ prefix, tensors: half }) => {
      if (!PREFIXES.includes(prefix)) return [];
      const side = half.get('blocks.input.w')?.shape[2];
      return [{ role: side === 1 ? ('decoder' as const) : ('encoder' as const), where, tensors: half }];
    },
  );

/** vae.pt of DALLE-pytorch's train_vae: { hparams, weights }. */
export const dallePytorchDvae: Converter = {
  reads: "DALLE-pytorch's DiscreteVAE: the vae.pt of its train_vae",
  takes: [],
  names: externalNames(discreteVaeRules({ layers: 3, resnetBlocks: 1 })),

  async convert(files: ExternalFiles) {
    const found = await findFile(files, ({ value }) => isDiscreteVae(value));
    if (!found) return undefined;
    const { path, value } = found;
    const contents = value as PickleMap;
    return discreteVae(
      contents.get('hparams') ?? null,
      unwrapped(stateDict(contents.get('weights') ?? null, path)),
      path,
    );
  },
};

const isDiscreteVae = (value: PickleValue): boolean =>
  value instanceof Map &&
  value.get('hparams') instanceof Map &&
  value.get('weights') instanceof Map &&
  ['codebook.weight', 'module.codebook.weight'].some((name) => (value.get('weights') as PickleMap).has(name));

/**
 * Converts a DiscreteVAE. A DALLE checkpoint has its settings as `vae_params`, and its weights under `vae.`.
 * @param hparams its settings: the arguments of its constructor
 * @throws DataError when the settings and the weights do not match, or mm does not have such a dVAE
 */
export function discreteVae(hparams: PickleValue, tensors: StateDict, where: string): Converted {
  const given = hparams instanceof Map ? hparams : new Map<PickleValue, PickleValue>();
  const channels = given.get('channels') ?? 3;
  if (channels !== 3) {
    throw new DataError(`a dVAE of images with ${String(channels)} channels`, {
      code: 'E_WEIGHTS_UNSUPPORTED',
      where,
      fix: 'mm has images of red, green and blue; convert a dVAE trained without `transparent`',
    });
  }
  const settings = {
    architecture: 'dalle-pytorch',
    imageSize: given.get('image_size'),
    layers: Number(given.get('num_layers') ?? 3),
    resnetBlocks: Number(given.get('num_resnet_blocks') ?? 0),
    hiddenChannels: given.get('hidden_dim'),
    codebookDim: given.get('codebook_dim'),
    vocabulary: given.get('num_tokens'),
    reconstruction: given.get('smooth_l1_loss') === true ? 'smooth-l1' : 'mse',
    straightThrough: given.get('straight_through'),
    reinmax: given.get('reinmax') === true && given.get('straight_through') === true,
    normalization: given.has('normalization') ? normalizationOf(given.get('normalization')) : undefined,
  };
  const hparamsAsJson = toJson(hparams);
  const source: Origin | undefined =
    hparamsAsJson === undefined ? undefined : { format: 'dalle-pytorch', files: { hparams: hparamsAsJson } };
  return converted("DALLE-pytorch's DiscreteVAE", settings, tensors, where, source);
}

/** Means and standard deviations, each of (red, green, blue, alpha); None means no normalization. */
function normalizationOf(value: PickleValue | undefined): object {
  const [means, stds] = Array.isArray(value)
    ? value
    : [
        [0, 0, 0],
        [1, 1, 1],
      ];
  const channels = (numbers: PickleValue | undefined): PickleValue[] =>
    Array.isArray(numbers) ? numbers.slice(0, 3) : [];
  return { means: channels(means), stds: channels(stds) };
}
