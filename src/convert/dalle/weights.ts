// The converter of DALLE-pytorch's DALLE; names.ts has the names of its tensors. One parameter of ours has no tensor
// there: the start token, which is text token 0 at position 0.

import { matchTensors } from '../../checkpoint/match.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type DalleModelConfig, dalleModelSchema } from '../../config/dalle-model.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { ClipTokenizer } from '../../tokenizers/clip.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { Tokenizer } from '../../tokenizers/tokenizer.ts';
import { UsageError } from '../../util/errors.ts';
import type { Converter, ConvertOptions, ExternalFile, ExternalFiles } from '../external.ts';
import { findFile } from '../files/find.ts';
import { unwrapped } from '../files/names.ts';
import { type Origin, toJson } from '../origin.ts';
import type { PickleValue } from '../pickle/values.ts';
import { externalNames, rename } from '../rules.ts';
import { asTheyCame, sumOf } from '../tensors.ts';
import { type StateDict, stateDict } from '../torch/state-dict.ts';
import { modelConfig, type Settings, unusable } from './config.ts';
import {
  currentName,
  dallePytorchRules,
  ROTARY_TABLE,
  TEXT_POSITIONS,
  UNUSED,
  withoutWrappers,
} from './names.ts';
import { vaeOf } from './vae.ts';

const SMALL = dalleModelSchema.parse({
  ...{ textLength: 8, textVocabulary: 8, grid: 4, imageVocabulary: 8, width: 64, layers: 1, heads: 1 },
});

/** dalle.pt of DALLE-pytorch's train_dalle, of any year: { hparams, vae_params, weights, … }. */
export const dallePytorch: Converter = {
  reads: "DALLE-pytorch's DALLE: the dalle.pt of its train_dalle, with its tokenizer as `tokenizer`",
  takes: ['tokenizer', 'dvae', 'nullCaptions'],
  names: externalNames(dallePytorchRules(SMALL)),

  async convert(files: ExternalFiles, options: ConvertOptions) {
    const found = await findFile(files, isDalle);
    if (!found) return undefined;
    const { path: where } = found;
    const saved = found.value as Settings;
    const all = unwrapped(stateDict(saved.get('weights') as PickleValue, where));
    const settings = saved.get('hparams') as Settings;
    const own = new Map([...all].filter(([name]) => !name.startsWith(VAE)));
    const { model, found: tensors, beside } = dallePytorchModel(settings, own, where);
    const { notes } = files;
    const tokenizer = await fittingTokenizer(options.tokenizer, model, where, notes);
    const vae = new Map(
      [...all].flatMap(([name, tensor]) => (name.startsWith(VAE) ? [[name.slice(VAE.length), tensor]] : [])),
    );
    const { dvae, included } = await vaeOf({ saved, tensors: vae, model, where, notes }, options.dvae);
    const hparams = toJson(settings);
    const source: Origin | undefined =
      hparams === undefined ? undefined : { format: 'dalle-pytorch', files: { hparams } };
    const imageWeight = settings.get('loss_img_weight');
    if (options.nullCaptions === undefined)
      notes.push(
        'taken as trained with captions alone, so without guidance: the file does not say; see `nullCaptions`',
      );
    return {
      what: `DALLE-pytorch's DALLE, ${model.layers} layers of width ${model.width}`,
      contents: {
        kind: 'dalle',
        config: {
          model,
          train: {
            textLossWeight: 1 / (1 + (typeof imageWeight === 'number' ? imageWeight : 7)),
            nullCaptions: options.nullCaptions ?? 0,
          },
          ...(source && { source }),
        },
        model: tensors,
        ...(beside.length > 0 && { external: beside }),
        tokenizer,
        dvae: included,
      },
      ...(dvae && { dvae }),
    };
  },
};

const VAE = 'vae.';

const isDalle = ({ value }: ExternalFile): boolean =>
  value instanceof Map &&
  value.get('hparams') instanceof Map &&
  value.get('weights') instanceof Map &&
  ['', 'module.'].some((prefix) => (value.get('weights') as Settings).has(`${prefix}to_logits.1.weight`));

/** Tokenizers of DALLE-pytorch that are known by the size of their vocabulary. */
const KNOWN_SIZES: ReadonlyMap<number, string> = new Map([
  [49408, "CLIP's merges file, bpe_simple_vocab_16e6.txt, which is DALLE-pytorch's default"],
  [21128, 'the tokenizer.json of bert-base-chinese (chinese), or its vocab.txt and tokenizer_config.json'],
]);

/**
 * The tokenizer of the captions, which the checkpoint does not hold. CLIP's cleans texts, as DALLE-pytorch's does.
 * @throws UsageError E_TOKENIZER_MISSING, DataError when it does not fit
 */
async function fittingTokenizer(
  file: string | undefined,
  { textVocabulary }: DalleModelConfig,
  where: string,
  notes: string[],
): Promise<Tokenizer> {
  if (file === undefined) {
    const known = KNOWN_SIZES.get(textVocabulary);
    throw new UsageError(
      `a DALLE-pytorch checkpoint does not hold its tokenizer, here one of ${textVocabulary} ids`,
      {
        code: 'E_TOKENIZER_MISSING',
        option: 'tokenizer',
        where,
        fix: known
          ? `give ${known}`
          : 'give the file that the model was trained with as bpe_path: a tokenizer.json, or a model of YouTokenToMe',
      },
    );
  }
  const loaded = await loadTokenizer(file);
  const tokenizer = loaded instanceof ClipTokenizer ? loaded.cleaned('lower') : loaded;
  if (tokenizer.idCount < textVocabulary)
    notes.push(
      `the tokenizer has ${tokenizer.idCount} ids, the model ${textVocabulary}: check that it is the model's`,
    );
  if (tokenizer.idCount <= textVocabulary) return tokenizer;
  throw unusable(
    `the tokenizer has ${tokenizer.idCount} ids, the model ${textVocabulary}`,
    file,
    'give the tokenizer that the model was trained with',
  );
}

/**
 * Renames the tensors of a DALLE.
 * @param settings the arguments of its constructor
 * @param given tensors without those of its image tokenizer
 * @throws DataError when the settings and the tensors do not match, or mm does not have such a model
 */
export function dallePytorchModel(settings: Settings, given: StateDict, where: string) {
  const tensors = new Map(Array.from(given, ([name, tensor]) => [currentName(name), tensor]));
  const model = modelConfig(settings, tensors, where);
  const plain = new Map(Array.from(tensors, ([name, tensor]) => [withoutWrappers(name), tensor]));
  const { found, unknown } = rename(plain, dallePytorchRules(model), where);
  for (const name of unknown.keys()) {
    if (UNUSED.test(name)) continue;
    throw unusable(`it has a tensor ${name}`, where, 'convert a DALLE of version 1');
  }
  found.set('start', startToken(tensors, where));
  const beside = asTheyCame(new Map([...unknown].filter(([name]) => name === ROTARY_TABLE)));
  // Of the start token's two parts, its position is in no other tensor.
  const start = tensors.get(TEXT_POSITIONS)?.rows(0, 1);
  if (start) beside.push(...asTheyCame(new Map([[TEXT_POSITIONS, start]])));
  const expected = flatten(dalleSpec(model));
  // Layers that share weights have them once, and a tied head is the embeddings.
  const names = new Set(expected.map(([name]) => name));
  for (const name of found.keys()) if (!names.has(name)) found.delete(name);
  matchTensors(found, expected, where, 'give a complete checkpoint of one DALLE');
  return { model, found, beside };
}

/** The sum of the embeddings of text token 0 and, unless positions are rotary, of position 0. */
function startToken(tensors: StateDict, where: string): TensorSource {
  const embedding = tensors.get('text_emb.weight') ?? tensors.get('text_emb.linear.weight');
  if (!embedding) throw unusable('it has no embedding of text', where, 'give a checkpoint of train_dalle');
  const position = tensors.get(TEXT_POSITIONS);
  return sumOf([embedding.rows(0, 1), ...(position ? [position.rows(0, 1)] : [])]);
}
