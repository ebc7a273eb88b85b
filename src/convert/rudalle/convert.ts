// ruDALL-E (the package `rudalle`: Malevich, Emojich, Surrealist XL, Kandinsky): its state dictionary, with the
// byte-pair model and the Gumbel VQGAN of rudalle-utils.

import { readCheckpoint } from '../../checkpoint/read.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type DalleModelConfig, dalleModelSchema } from '../../config/dalle-model.ts';
import { dvaeCheckpointSchema } from '../../config/dvae.ts';
import type { VqganConfig } from '../../config/vqgan.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { YouTokenToMeTokenizer } from '../../tokenizers/youtokentome.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { assertFits, type Vae } from '../dalle/vae.ts';
import type { Converter, ConvertOptions, ExternalFiles } from '../external.ts';
import { findModel } from '../files/find.ts';
import { externalNames, renameExactly } from '../rules.ts';
import { type ExternalTensor, type StateDict, sumOf } from '../tensors.ts';
import { tamingOrLatentDiffusion } from '../vqgan/convert.ts';
import { rudalleConfig, START, sizesOf } from './config.ts';
import { ANCHORS, MASKS, rudalleRules } from './names.ts';
import { versionOf } from './version.ts';

/** Pixels on a side of a code where no size of images is given: the published VQGAN halves images three times. */
const PIXELS = 8;
/** Weight of the image's loss against the text's; a default of the package. */
const IMAGE_WEIGHT = 7;

const SMALL = dalleModelSchema.parse({
  ...{ textLength: 8, textVocabulary: 8, grid: 4, imageVocabulary: 8, width: 64, layers: 1, heads: 1 },
  ...{ sandwichNorm: true, secondNorm: true },
});

export const rudalle: Converter = {
  reads:
    'ruDALL-E: a folder of its pytorch_model.bin (Malevich: pytorch_model_v3.bin), bpe.model and vqgan.gumbelf8-sber.model.ckpt',
  takes: ['tokenizer', 'dvae', 'nullCaptions', 'config', 'imageSize', 'heads', 'rudalle'],
  names: externalNames(rudalleRules(SMALL, 8)),

  async convert(files, options) {
    const found = await findModel(files, { anchors: ANCHORS, part: options.part });
    if (!found) return undefined;
    const { tensors, where } = found;
    const sizes = sizesOf(tensors, where);
    const version = await versionOf(tensors, sizes, options, where, files.notes);
    const model = rudalleConfig(sizes, version, options.heads, where);
    const weights = rudalleWeights(tensors, model, sizes.textPositions, where);
    const tokenizer = await tokenizerOf(files, options, model, where);
    const { dvae, included } = await vaeOf(files, options, model, where);
    if (options.nullCaptions === undefined)
      files.notes.push(
        'taken as trained with captions alone, so without guidance, as the published ones were; see `nullCaptions`',
      );
    return {
      what: `ruDALL-E, version ${version}, ${model.layers} layers of width ${model.width}`,
      contents: {
        kind: 'dalle',
        config: {
          model,
          train: { textLossWeight: 1 / (1 + IMAGE_WEIGHT), nullCaptions: options.nullCaptions ?? 0 },
        },
        model: weights,
        tokenizer,
        dvae: included,
      },
      ...(dvae && { dvae }),
    };
  },
};

/**
 * The tensors of a ruDALL-E under our names.
 * @param textPositions theirs
 * @throws DataError E_WEIGHTS_MISMATCH when they do not fit the configuration
 */
export function rudalleWeights(
  tensors: StateDict,
  model: DalleModelConfig,
  textPositions: number,
  where: string,
): ReadonlyMap<string, TensorSource> {
  const rules = rudalleRules(model, textPositions);
  const { tensors: named } = renameExactly(tensors, rules, dalleSpec(model), where, MASKS, 'a ruDALL-E');
  const row = (name: string, index: number): ExternalTensor =>
    (tensors.get(name) as ExternalTensor).rows(index, 1);
  const start = sumOf([row('text_embeddings.weight', START), row('text_pos_embeddings.weight', 0)]);
  return new Map([['start', start], ...named]);
}

/** @throws UsageError E_TOKENIZER_MISSING, DataError when it is of another kind or does not fit */
async function tokenizerOf(
  files: ExternalFiles,
  { tokenizer: given }: ConvertOptions,
  { textVocabulary }: DalleModelConfig,
  where: string,
): Promise<Tokenizer> {
  const path = given ?? files.named('bpe.model');
  if (path === undefined)
    throw new UsageError("ruDALL-E's tokenizer is not among the files", {
      code: 'E_TOKENIZER_MISSING',
      option: 'tokenizer',
      where,
      fix: 'put bpe.model of shonenkov/rudalle-utils beside the weights, or name it with `tokenizer`',
    });
  const tokenizer = await loadTokenizer(path);
  const mismatch = (what: string): DataError =>
    new DataError(what, {
      code: 'E_TOKENIZER_MISMATCH',
      where: path,
      fix: 'give bpe.model of shonenkov/rudalle-utils, or the model of YouTokenToMe that the weights were trained with',
    });
  if (!(tokenizer instanceof YouTokenToMeTokenizer))
    throw mismatch('not a model of YouTokenToMe, which ruDALL-E reads its texts with');
  if (tokenizer.idCount > textVocabulary)
    throw mismatch(`the tokenizer has ${tokenizer.idCount} ids, the model ${textVocabulary}`);
  if (tokenizer.idCount < textVocabulary)
    files.notes.push(
      `the tokenizer has ${tokenizer.idCount} ids, the model ${textVocabulary}: check that it is the model's`,
    );
  return tokenizer.lowerCased();
}

/** The VQGAN: a checkpoint that is given, or the one among the files. @throws UsageError E_DVAE_MISSING, DataError */
async function vaeOf(
  files: ExternalFiles,
  { dvae: given, config, imageSize }: ConvertOptions,
  model: DalleModelConfig,
  where: string,
): Promise<Vae> {
  if (given !== undefined) {
    const included = await readCheckpoint(given, { kind: 'dvae', warn: (note) => files.notes.push(note) });
    assertFits(included.config(dvaeCheckpointSchema).model, model, given);
    return { included };
  }
  const dvae = await tamingOrLatentDiffusion.convert(files, {
    config,
    imageSize: imageSize ?? model.grid * PIXELS,
  });
  if (dvae) {
    assertFits((dvae.contents.config as { model: VqganConfig }).model, model, where);
    return { dvae };
  }
  const dicts = await files.stateDicts();
  const wavelets = dicts.find(({ tensors }) => [...tensors.keys()].some((name) => WAVELETS.test(name)));
  throw new UsageError(
    wavelets
      ? 'a VQGAN whose decoder makes wavelets (dwt) of the images, which mm does not have'
      : "ruDALL-E's VQGAN is not among the files",
    {
      code: wavelets ? 'E_WEIGHTS_UNSUPPORTED' : 'E_DVAE_MISSING',
      option: 'dvae',
      where: wavelets?.where ?? where,
      fix: 'put vqgan.gumbelf8-sber.model.ckpt of shonenkov/rudalle-utils beside the weights, or convert it first and name its checkpoint with `dvae`',
    },
  );
}
const WAVELETS = /(^|\.)decoder\.decoder\.mid\./;
