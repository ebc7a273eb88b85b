// DALLE-pytorch's DALLE, renamed and turned for ours. Matrices there are [out, in], here [in, out]. Its logits of text
// and image are one matrix, of which each position uses one part; ours are two. Its start token is text token 0, whose
// embedding nothing else reads. Its queries, keys and values have no bias; ours are zeros.

import { widen } from '../../checkpoint/half.ts';
import { matchTensors } from '../../checkpoint/match.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import type { DalleModelConfig } from '../../config/dalle.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { BpeTokenizer } from '../../tokenizers/bpe.ts';
import { UsageError } from '../../util/errors.ts';
import { discreteVae } from '../dvae/weights.ts';
import {
  type Converter,
  type ConvertOptions,
  type ExternalFile,
  type ExternalFiles,
  weightSource,
} from '../external.ts';
import type { PickleValue } from '../pickle/values.ts';
import { type StateDict, stateDict } from '../torch/state-dict.ts';
import type { TorchTensor } from '../torch/tensor.ts';
import { modelConfig, type Settings, unusable } from './config.ts';

/** dalle.pt of DALLE-pytorch's train_dalle: { hparams, vae_params, weights, … }. */
export const dallePytorch: Converter = {
  reads: "DALLE-pytorch's DALLE with a DiscreteVAE: the dalle.pt of its train_dalle, and --tokenizer",

  async convert(files: ExternalFiles, { tokenizer: tokenizerFile }: ConvertOptions) {
    const found = (await files.torchFiles()).find(isDalle);
    if (!found) return undefined;
    const { path: where } = found;
    const saved = found.value as Settings;
    const all = stateDict(saved.get('weights') as PickleValue, where);
    const vaeParameters = saved.get('vae_params');
    if (!(vaeParameters instanceof Map)) {
      const name = String(saved.get('vae_class_name') ?? 'another one');
      throw unusable(`its dVAE is ${name}`, where, 'mm converts DALLEs that were trained with a DiscreteVAE');
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

/** The checkpoint says nothing about the captions' tokens. */
async function fittingTokenizer(
  file: string | undefined,
  { textVocabulary }: DalleModelConfig,
): Promise<BpeTokenizer> {
  if (file === undefined) {
    throw new UsageError('the checkpoint does not hold its tokenizer', {
      code: 'E_TOKENIZER_MISSING',
      option: 'tokenizer',
      fix: 'give the tokenizer.json that the model was trained with (hug and bpe_path of train_dalle)',
    });
  }
  const tokenizer = await BpeTokenizer.load(file);
  if (tokenizer.vocabularySize <= textVocabulary) return tokenizer;
  const fix = 'give the one that the model was trained with';
  throw unusable(
    `the tokenizer has ${tokenizer.vocabularySize} entries, the model ${textVocabulary}`,
    file,
    fix,
  );
}

/**
 * A DALLE from its settings, the arguments of its constructor, and its weights, without those of its dVAE.
 * @throws DataError when they do not fit together, or it is one that mm does not have
 */
export function dallePytorchModel(settings: Settings, tensors: StateDict, where: string) {
  const model = modelConfig(settings, tensors, where);
  const found = new Map<string, TensorSource>();
  for (const [name, tensor] of tensors) {
    for (const [ours, source] of renamed(name, tensor, model, where)) found.set(ours, source);
  }
  found.set('start', startToken(tensors, where));
  const expected = flatten(dalleSpec(model));
  for (const [name, { shape }] of expected) {
    if (name.endsWith('.qkv.bias'))
      found.set(name, { dtype: 'float32', shape, data: async () => new Float32Array(shape[0] as number) });
  }
  for (const name of found.keys()) if (!expected.some(([ours]) => ours === name)) found.delete(name);
  matchTensors(found, expected, where, 'name a checkpoint of one DALLE, whole');
  return { model, found };
}

/** What one of theirs is here: nothing, or one tensor or two. */
function renamed(
  name: string,
  tensor: TorchTensor,
  { textVocabulary, textLength, imageVocabulary }: DalleModelConfig,
  where: string,
): [string, TensorSource][] {
  const as = (ours: string, part: TorchTensor): [string, TensorSource] => [
    ours,
    weightSource(name, part, where),
  ];
  const texts = textVocabulary + textLength;
  const turned = (part: TorchTensor): TorchTensor => (part.shape.length === 2 ? part.permute(1, 0) : part);
  switch (name) {
    case 'text_emb.weight':
      return [as('text_embedding', tensor)];
    case 'image_emb.weight':
      return [as('image_embedding', tensor)];
    case 'text_emb.linear.weight':
      return [
        as('text_embedding', tensor.rows(0, texts)),
        as('image_embedding', tensor.rows(texts, imageVocabulary)),
      ];
    case 'text_pos_emb.weight':
      return [as('text_position', tensor.rows(1, textLength))];
    case 'image_pos_emb.weights.0':
      return [
        ['image_row', withShape(as('', tensor)[1], [tensor.shape[1] as number, tensor.shape[3] as number])],
      ];
    case 'image_pos_emb.weights.1':
      return [['image_column', withShape(as('', tensor)[1], tensor.shape.slice(2))]];
    case 'to_logits.0.weight':
      return [as('norm.gain', tensor)];
    case 'to_logits.0.bias':
      return [as('norm.bias', tensor)];
    case 'to_logits.1.weight':
    case 'to_logits.1.bias': {
      const leaf = name.slice('to_logits.1.'.length);
      return [
        as(`text_head.${leaf}`, turned(tensor.rows(0, texts))),
        as(`image_head.${leaf}`, turned(tensor.rows(texts, imageVocabulary))),
      ];
    }
    default: {
      if (UNUSED.test(name)) return [];
      const ours = layerName(name);
      if (ours === undefined)
        throw unusable(`it has a tensor ${name}`, where, 'convert a DALLE of version 1');
      const [, source] = as(ours, turned(tensor));
      return [[ours, ours.endsWith('_scale') ? withShape(source, tensor.shape.slice(2)) : source]];
    }
  }
}

const withShape = (source: TensorSource, shape: readonly number[]): TensorSource => ({ ...source, shape });

/** The tables of rotary positions, which are computed, and the head again where it serves as embedding. */
const UNUSED = /^transformer\.pos_emb$|\.freqs$|^(text|image)_emb\.linear\./;
const LAYER = /^transformer\.layers\.(?:layers\.(\d+)\.([01])|blocks\.(\d+)\.([fg])\.net)\.(?:fn\.)*(.+)$/;
const PARTS: Readonly<Record<string, string>> = {
  scale: '_scale',
  'norm.weight': '_norm.gain',
  'norm.bias': '_norm.bias',
  'norm_out.weight': '_end_norm.gain',
  'norm_out.bias': '_end_norm.bias',
  'to_qkv.weight': '.qkv.weight',
  'to_out.0.weight': '.output.weight',
  'to_out.0.bias': '.output.bias',
  'net.0.weight': '.expand.weight',
  'net.0.bias': '.expand.bias',
  'net.3.weight': '.contract.weight',
  'net.3.bias': '.contract.bias',
};

/** transformer.layers.layers.0.1.fn.fn.net.0.weight → blocks.block_1.feed_forward.expand.weight */
function layerName(name: string): string | undefined {
  const [, index, branch, reversibleIndex, reversibleBranch, part = ''] = LAYER.exec(name) ?? [];
  const ours = PARTS[part];
  if (ours === undefined) return undefined;
  const isAttention = (branch ?? reversibleBranch) === '0' || reversibleBranch === 'f';
  return `blocks.block_${Number(index ?? reversibleIndex) + 1}.${isAttention ? 'attention' : 'feed_forward'}${ours}`;
}

/** The embedding of token 0, at position 0. */
function startToken(tensors: StateDict, where: string): TensorSource {
  const embedding = tensors.get('text_emb.weight') ?? tensors.get('text_emb.linear.weight');
  if (!embedding) throw unusable('it has no embedding of text', where, 'name a checkpoint of train_dalle');
  const position = tensors.get('text_pos_emb.weight');
  const rows = [embedding, ...(position ? [position] : [])].map((table) =>
    weightSource('text_emb', table.rows(0, 1), where),
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
