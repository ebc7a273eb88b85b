// DALL·E as the dalle.pt of DALLE-pytorch's train_dalle, with its image tokenizer.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type DalleCheckpointConfig, dalleCheckpointSchema } from '../../config/dalle.ts';
import type { DalleModelConfig } from '../../config/dalle-model.ts';
import { dvaeModelSchema } from '../../config/dvae.ts';
import { ATTENTION, CONV_LIKE_SIDE } from '../../convert/dalle/config.ts';
import { dallePytorchRules, ROTARY_TABLE, TEXT_POSITIONS } from '../../convert/dalle/names.ts';
import { renameBack } from '../../convert/inverse.ts';
import { StateDictToWrite, type TorchValue } from '../../convert/torch/write.ts';
import { headWidth, layerAttention, streamLayout } from '../../models/dalle/config.ts';
import { dalleSpec } from '../../models/dalle/model.ts';
import { rotaryAngles } from '../../nn/rotary.ts';
import { assertDemands } from '../demands.ts';
import { discreteVae } from '../dvae/dalle-pytorch.ts';
import { openaiWeights } from '../dvae/openai.ts';
import { type Exporter, torchFile } from '../format.ts';
import type { ExportModel } from '../model.ts';
import { torchValue } from '../values.ts';
import { tamingWeights } from '../vqgan/taming.ts';
import { underAllNames } from './names.ts';
import { startRows } from './start-token.ts';

/** The version of DALLE-pytorch that the names and settings are of. */
const VERSION = '1.6.6';

function assertExpressible(model: ExportModel, config: DalleModelConfig): void {
  const kinds = [...new Set(layerAttention(config))];
  const known = Object.values(ATTENTION);
  const other = kinds.find((kind) => !known.includes(kind));
  assertDemands(
    model,
    "DALLE-pytorch's DALLE",
    [
      ...(other === undefined ? [] : [['attention', other, known] as const]),
      ...(kinds.includes('conv-like') ? [['kernelSize', config.kernelSize, [CONV_LIKE_SIDE]] as const] : []),
      ['attentionGrid', config.attentionGrid, ['input']],
      ['activation', config.activation, ['gelu']],
      ['secondNorm', config.secondNorm, [false]],
      ['captionTokens', config.captionTokens, [undefined]],
      ['gated', config.gated, [true]],
      ['layerScale', config.layerScale, [true]],
      ['zeroIsPadding', config.zeroIsPadding, [true]],
      ['paddingTargets', config.paddingTargets, ['each']],
    ],
    'only a model with these settings can be exported to it: see docs/MODELS.md',
  );
}

/** The arguments of DALLE(…), as train_dalle writes them. */
function argumentsOf(model: ExportModel, { model: config, train }: DalleCheckpointConfig): TorchValue {
  const given = model.origin('dalle-pytorch')?.files.hparams;
  if (given !== undefined) return torchValue(given);
  const names = new Map(Object.entries(ATTENTION).map(([theirs, ours]) => [ours, theirs]));
  const { textLossWeight } = train as { textLossWeight?: unknown };
  return torchValue({
    num_text_tokens: config.textVocabulary,
    text_seq_len: config.textLength,
    dim: config.width,
    depth: config.layers,
    heads: config.heads,
    dim_head: headWidth(config),
    reversible: config.reversible,
    loss_img_weight: typeof textLossWeight === 'number' && textLossWeight > 0 ? 1 / textLossWeight - 1 : 7,
    attn_types: layerAttention(config).map((kind) => names.get(kind) as string),
    ff_dropout: 0,
    attn_dropout: 0,
    stable: config.stable,
    sandwich_norm: config.sandwichNorm,
    shift_tokens: config.tokenShift,
    rotary_emb: config.rotary,
    shared_attn_ids: config.sharedAttention ?? null,
    shared_ff_ids: config.sharedFeedForward ?? null,
    share_input_output_emb: config.tiedEmbeddings,
  });
}

/** @throws DataError where a bias of queries, keys and values is not 0: there they have none */
async function withoutZeroBiases(
  model: ExportModel,
  tensors: ReadonlyMap<string, TensorSource>,
): Promise<Map<string, TensorSource>> {
  const kept = new Map(tensors);
  for (const [name, { data }] of tensors) {
    if (!name.endsWith('.qkv.bias')) continue;
    const values = typeof data === 'function' ? await data() : data;
    if (values.some((value) => Number(value) !== 0))
      throw model.unsupported(
        `${name} is not 0: DALLE-pytorch has no biases of queries, keys and values`,
        'train with `model.attentionBias` false',
      );
    kept.delete(name);
  }
  return kept;
}

/** The angles of all positions, each twice, for a pair of channels: [1, N, d]. */
function rotaryTable(config: DalleModelConfig): TensorSource {
  const angles = rotaryAngles(streamLayout(config), headWidth(config));
  const data = Float32Array.from(angles.flatMap((row) => row.flatMap((angle) => [angle, angle])));
  return { dtype: 'float32', shape: [1, angles.length, data.length / angles.length], data };
}

interface VaeParts {
  readonly className: string;
  readonly settings: TorchValue;
  /** By the names under `vae.`. */
  readonly weights: ReadonlyMap<string, TensorSource>;
}

async function vaeParts(model: ExportModel): Promise<VaeParts> {
  const config = model.config(dvaeModelSchema);
  const renamed = (tensors: ReadonlyMap<string, TensorSource>, rename: (name: string) => string) =>
    new Map(Array.from(tensors, ([name, source]) => [rename(name), source]));
  switch (config.architecture) {
    case 'dalle-pytorch':
      return { className: 'DiscreteVAE', ...(await discreteVae(model, config)) };
    case 'openai': {
      const weights = renamed(await openaiWeights(model, config), (name) =>
        name.replace(/^(enc|dec)oder\./, '$1.'),
      );
      return { className: 'OpenAIDiscreteVAE', settings: null, weights };
    }
    case 'vqgan': {
      const weights = renamed(await tamingWeights(model, config), (name) => `model.${name}`);
      return { className: 'VQGanVAE', settings: null, weights };
    }
    default:
      return config satisfies never;
  }
}

export const dalleToDallePytorch: Exporter = {
  format: 'dalle-pytorch',
  kind: 'dalle',
  architecture: 'dalle',
  writes: "DALL·E as the dalle.pt of DALLE-pytorch's train_dalle, with its image tokenizer",

  async export(model) {
    const config = model.checkpoint.config(dalleCheckpointSchema);
    assertExpressible(model, config.model);
    const own = await withoutZeroBiases(model, await model.tensors(dalleSpec(config.model)));
    const external = await model.external('dalle-pytorch');
    const { tensors, rest } = await startRows(model, config.model, own, external.get(TEXT_POSITIONS));
    const weights = underAllNames(renameBack(tensors, dallePytorchRules(config.model), rest), config.model);
    if (config.model.rotary)
      weights.set(ROTARY_TABLE, external.get(ROTARY_TABLE) ?? rotaryTable(config.model));
    const inner = await model.dvae();
    const vae = await vaeParts(inner);
    model.notes.push(
      ...inner.notes,
      'the file has no tokenizer: give it with its own, which `to` tokenizer writes',
    );
    for (const [name, source] of vae.weights) weights.set(`vae.${name}`, source);
    return {
      what: `DALLE-pytorch's DALLE with its ${vae.className}`,
      file: torchFile(
        new Map<string, TorchValue>([
          ['hparams', argumentsOf(model, config)],
          ['vae_params', vae.settings],
          ['epoch', 0],
          ['version', VERSION],
          ['vae_class_name', vae.className],
          ['weights', new StateDictToWrite(weights)],
        ]),
      ),
    };
  },
};
