// The converter of DALLE-pytorch's DALLE; names.ts has the names of its tensors. Two parameters of ours have no tensor
// there: the start token, which is text token 0 at position 0, and the biases of queries, keys and values, which are 0.

import { widen } from '../../checkpoint/half.ts';
import { matchTensors } from '../../checkpoint/match.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { UsageError } from '../../util/errors.ts';
import { discreteVae } from '../dvae/weights.ts';
import type { Converter, ConvertOptions, ExternalFile, ExternalFiles } from '../external.ts';
import type { PickleValue } from '../pickle/values.ts';
import { rename, weightSource } from '../rules.ts';
import { type StateDict, stateDict } from '../torch/state-dict.ts';
import { modelConfig, type Settings, unusable } from './config.ts';
import { dallePytorchRules, UNUSED, withoutWrappers } from './names.ts';

/** dalle.pt of DALLE-pytorch's train_dalle: { hparams, vae_params, weights, … }. */
export const dallePytorch: Converter = {
  reads:
    "DALLE-pytorch's DALLE with a DiscreteVAE: the dalle.pt of its train_dalle, with its tokenizer.json as `tokenizer`",

  async convert(files: ExternalFiles, { tokenizer: tokenizerFile }: ConvertOptions) {
    const found = (await files.torchFiles()).find(isDalle);
    if (!found) return undefined;
    const { path: where } = found;
    const saved = found.value as Settings;
    const all = stateDict(saved.get('weights') as PickleValue, where);
    const vaeParameters = saved.get('vae_params');
    if (!(vaeParameters instanceof Map)) {
      const name = String(saved.get('vae_class_name') ?? 'of an unknown class');
      throw unusable(`its dVAE is ${name}`, where, 'convert a DALLE that was trained with a DiscreteVAE');
    }
    const pick = (isWanted: (name: string) => boolean, prefix = ''): StateDict =>
      new Map(
        [...all].flatMap(([name, tensor]) => (isWanted(name) ? [[name.slice(prefix.length), tensor]] : [])),
      );
    const isDvae = (name: string): boolean => name.startsWith('vae.');
    const settings = saved.get('hparams') as Settings;
    const { model, found: tensors } = dallePytorchModel(
      settings,
      pick((name) => !isDvae(name)),
      where,
    );
    const imageWeight = settings.get('loss_img_weight');
    return {
      what: `DALLE-pytorch's DALLE, ${model.layers} layers of width ${model.width}`,
      contents: {
        kind: 'dalle',
        config: {
          model,
          train: {
            textLossWeight: 1 / (1 + (typeof imageWeight === 'number' ? imageWeight : 7)),
            nullCaptions: 0,
          },
        },
        model: tensors,
        tokenizer: await fittingTokenizer(tokenizerFile, model),
      },
      dvae: discreteVae(vaeParameters, pick(isDvae, 'vae.'), where),
    };
  },
};

const isDalle = ({ value }: ExternalFile): boolean =>
  value instanceof Map &&
  value.get('hparams') instanceof Map &&
  value.get('weights') instanceof Map &&
  (value.get('weights') as Settings).has('to_logits.1.weight');

/** The tokenizer of the captions, which the checkpoint does not hold. */
async function fittingTokenizer(
  file: string | undefined,
  { textVocabulary }: DalleModelConfig,
): Promise<BpeTokenizer> {
  if (file === undefined) {
    throw new UsageError('a DALLE-pytorch checkpoint does not hold its tokenizer', {
      code: 'E_TOKENIZER_MISSING',
      option: 'tokenizer',
      fix: 'give the tokenizer.json that the model was trained with (hug and bpe_path of train_dalle)',
    });
  }
  const tokenizer = await BpeTokenizer.load(file);
  if (tokenizer.vocabularySize <= textVocabulary) return tokenizer;
  const fix = 'give the tokenizer that the model was trained with';
  throw unusable(
    `the tokenizer has ${tokenizer.vocabularySize} entries, the model ${textVocabulary}`,
    file,
    fix,
  );
}

/**
 * Renames the tensors of a DALLE.
 * @param settings the arguments of its constructor
 * @param tensors without those of its dVAE
 * @throws DataError when the settings and the tensors do not match, or mm does not have such a model
 */
export function dallePytorchModel(settings: Settings, tensors: StateDict, where: string) {
  const model = modelConfig(settings, tensors, where);
  const plain = new Map(Array.from(tensors, ([name, tensor]) => [withoutWrappers(name), tensor]));
  const { found, unknown } = rename(plain, dallePytorchRules(model), where);
  for (const name of unknown.keys()) {
    if (UNUSED.test(name)) continue;
    throw unusable(`it has a tensor ${name}`, where, 'convert a DALLE of version 1');
  }
  found.set('start', startToken(tensors, where));
  const expected = flatten(dalleSpec(model));
  for (const [name, { shape }] of expected) {
    if (name.endsWith('.qkv.bias'))
      found.set(name, { dtype: 'float32', shape, data: async () => new Float32Array(shape[0] as number) });
  }
  // Layers that share weights have them once, and a tied head is the embeddings.
  const names = new Set(expected.map(([name]) => name));
  for (const name of found.keys()) if (!names.has(name)) found.delete(name);
  matchTensors(found, expected, where, 'give a complete checkpoint of one DALLE');
  return { model, found };
}

/** The sum of the embeddings of text token 0 and, unless positions are rotary, of position 0. */
function startToken(tensors: StateDict, where: string): TensorSource {
  const embedding = tensors.get('text_emb.weight') ?? tensors.get('text_emb.linear.weight');
  if (!embedding) throw unusable('it has no embedding of text', where, 'give a checkpoint of train_dalle');
  const position = tensors.get('text_pos_emb.weight');
  const rows = [embedding, ...(position ? [position] : [])].map((table) =>
    weightSource('text_emb', [table.rows(0, 1)], where),
  );
  return {
    dtype: 'float32',
    shape: [1, embedding.shape[1] as number],
    data: async () => {
      const values = await Promise.all(rows.map(floats));
      return (values[0] as Float32Array).map((value, i) => value + (values[1]?.[i] ?? 0));
    },
  };
}

async function floats({ dtype, shape, data }: TensorSource): Promise<Float32Array> {
  const values = typeof data === 'function' ? await data() : data;
  return widen({ dtype, shape, data: values }).data as Float32Array;
}
