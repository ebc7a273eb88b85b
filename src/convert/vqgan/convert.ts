// VQGANs of other programs for `mm convert`: which files are whose, and what is left out of them.

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type VqganConfig, vqganModelSchema } from '../../config/vqgan.ts';
import { codeGrid } from '../../models/dvae/config.ts';
import { vqganSpec } from '../../models/vqgan/model.ts';
import { counted } from '../../util/counted.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import type { Converted, Converter, ConvertOptions, ExternalFiles } from '../external.ts';
import { findModel } from '../files/find.ts';
import type { Origin } from '../origin.ts';
import { externalNames, type Rule, renameExactly } from '../rules.ts';
import type { StateDict } from '../tensors.ts';
import { diffusersSettings } from './diffusers.ts';
import { type ModelYaml, readModelYaml } from './model-yaml.ts';
import { currentName, diffusersRules, tamingRules } from './names.ts';
import { assertDescribes, assertHasCodes, parseModel, settingsOf } from './settings.ts';

/** Names of tensors that only training needs, and what each of them is. */
const BESIDE: readonly (readonly [pattern: RegExp, what: string])[] = [
  [/^loss\./, 'the loss: the discriminator and the perceptual features'],
  [/^model_ema\./, "the weights' EMA of training, which latent-diffusion does not encode with"],
  [/^quantize\.(embedding\.)?(cluster_size|embed_avg|embedding_avg)$/, "the codebook's running statistics"],
  [/^quantize\.used$/, 'a new numbering of the codes (remap): codes are the numbers of the whole codebook'],
];

const UNUSED = new RegExp(BESIDE.map(([pattern]) => `(?:${pattern.source})`).join('|'));

/** What is left out, each kind with its count. */
function notesOf(tensors: StateDict): string[] {
  const names = [...tensors.keys()];
  return BESIDE.flatMap(([pattern, what]) => {
    const count = names.filter((name) => pattern.test(name)).length;
    return count === 0 ? [] : [`${counted(count, 'tensor')} left out: ${what}`];
  });
}

/** Tensors to convert. */
interface Source {
  readonly tensors: StateDict;
  /** Their file. */
  readonly where: string;
  /** Gets what is left out. */
  readonly notes: string[];
  readonly origin?: Origin | undefined;
}

function converted(
  name: string,
  model: VqganConfig,
  rules: readonly Rule[],
  { tensors, where, notes, origin }: Source,
): Converted {
  const exactly = renameExactly(tensors, rules, vqganSpec(model), where, UNUSED, 'a VQGAN');
  notes.push(...notesOf(tensors));
  if (exactly.inert.length > 0) notes.push(`left out, as not of floats: ${exactly.inert.join(', ')}`);
  const grid = codeGrid(model);
  return {
    what: `${name}, ${model.vocabulary} codes, ${model.imageSize} pixels, ${grid} × ${grid} codes an image`,
    contents: { kind: 'dvae', config: { model, ...(origin && { source: origin }) }, model: exactly.tensors },
  };
}

/**
 * Converts the tensors of a taming-transformers VQGAN.
 * @param size pixels on a side of the images, which the weights do not say
 * @throws DataError when it is not a VQGAN that mm has
 */
export function tamingVqgan(source: Source, size: number): Converted {
  const { tensors, where } = source;
  assertHasCodes(tensors, where);
  const model = parseModel({ ...settingsOf(tensors, where), imageSize: size }, where);
  const name = model.quantizer === 'gumbel' ? 'a Gumbel VQGAN' : 'a VQGAN';
  return converted(`${name} of taming-transformers' kind`, model, tamingRules(model), source);
}

const SMALL = vqganModelSchema.parse({
  architecture: 'vqgan',
  imageSize: 32,
  hiddenChannels: 32,
  levelChannels: [32, 64],
  attentionLevels: [2],
});

/** The YAML file that was given, or the one among the files that describes an autoencoder. */
function findYaml(files: ExternalFiles, given: string | undefined): ModelYaml | undefined {
  if (given !== undefined) {
    const yaml = readModelYaml(given);
    if (yaml) return yaml;
    throw new UsageError('the file describes no VQGAN: it has no ddconfig', {
      code: 'E_MODEL_YAML',
      option: 'config',
      where: given,
      fix: 'give the model.yaml (…-project.yaml, config.yaml) that the weights were trained with',
    });
  }
  const found = files.paths
    .filter((path) => /\.ya?ml$/i.test(path))
    .flatMap((path) => readModelYaml(path) ?? []);
  if (found.length < 2) return found[0];
  throw new UsageError(`several files describe a VQGAN: ${found.map(({ file }) => file).join(', ')}`, {
    code: 'E_MODEL_YAML',
    option: 'config',
    where: files.where,
    fix: 'name the one of the weights with `config`',
  });
}

export const tamingOrLatentDiffusion: Converter = {
  reads: 'a VQGAN of taming-transformers or latent-diffusion: its .ckpt, with its model.yaml as `config`',
  takes: ['config', 'imageSize'],
  names: externalNames(tamingRules(SMALL)),

  async convert(files, { config, imageSize, part }: ConvertOptions) {
    const anchors = [
      'encoder.mid.block_1.conv1.weight',
      'decoder.mid.block_1.conv1.weight',
      'quant_conv.weight',
    ];
    const found = await findModel(files, { anchors, part });
    if (!found) return undefined;
    const { tensors, where } = found;
    assertHasCodes(tensors, where);
    const yaml = findYaml(files, config);
    const size = imageSize ?? yaml?.parameters.ddconfig.resolution;
    if (size === undefined)
      throw new UsageError('nothing beside the weights says the size of the images', {
        code: 'E_IMAGE_SIZE_MISSING',
        option: 'config',
        where,
        fix: 'give their model.yaml as `config`, or `imageSize`: 256 for the published ones',
      });
    const { notes } = files;
    const origin: Origin | undefined =
      yaml?.whole !== undefined && imageSize === undefined
        ? { format: 'taming', files: { 'model.yaml': yaml.whole } }
        : undefined;
    const result = tamingVqgan({ tensors, where, notes, origin }, size);
    if (yaml) assertDescribes(yaml, (result.contents.config as { model: VqganConfig }).model);
    if (yaml?.parameters.remap && !tensors.has('quantize.used'))
      notes.push('remap is left out: codes are the numbers of the whole codebook');
    return result;
  },
};

export const diffusersVqgan: Converter = {
  reads:
    'a VQModel of diffusers: its folder, with config.json and diffusion_pytorch_model.safetensors or .bin',
  takes: ['config', 'imageSize'],
  names: externalNames(diffusersRules(SMALL)),

  async convert(files, { config, imageSize, part }: ConvertOptions) {
    const anchors = ['encoder.mid_block.resnets.0.conv1.weight', 'quant_conv.weight'];
    const found = await findModel(files, { anchors, rename: currentName, part });
    if (!found) return undefined;
    const { tensors, where } = found;
    assertHasCodes(tensors, where);
    const path = config ?? files.named('config.json');
    if (path === undefined)
      throw new DataError('the weights have no config.json beside them', {
        code: 'E_WEIGHTS_INCOMPLETE',
        where,
        fix: `convert the whole folder ${dirname(where)}, or give the file as \`config\``,
      });
    const model = parseModel(await diffusersSettings(path, imageSize), path);
    const origin: Origin | undefined =
      imageSize === undefined
        ? { format: 'diffusers', files: { 'config.json': JSON.parse(await readFile(path, 'utf8')) } }
        : undefined;
    const source = { tensors, where, notes: files.notes, origin };
    return converted('a VQModel of diffusers', model, diffusersRules(model), source);
  },
};
