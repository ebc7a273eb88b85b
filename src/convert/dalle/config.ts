// The configuration of a DALLE-pytorch model: from its settings (the arguments of its constructor) and, because older
// checkpoints lack some of them, from the names and shapes of its weights.

import { type AttentionKind, type DalleModelConfig, dalleModelSchema } from '../../config/dalle-model.ts';
import { DataError } from '../../util/errors.ts';
import type { PickleValue } from '../pickle/values.ts';
import type { StateDict } from '../torch/state-dict.ts';

export type Settings = ReadonlyMap<PickleValue, PickleValue>;

/** DALLE-pytorch's names of attention kinds, and ours. */
export const ATTENTION: Readonly<Record<string, AttentionKind>> = {
  full: 'full',
  axial_row: 'axial-row',
  axial_col: 'column',
  conv_like: 'conv-like',
};
/** Attention of DeepSpeed; until attn_types came, a separate setting, sparse_attn. */
const SPARSE = 'sparse';
/** Side of the square of conv_like attention: the default of DALLE-pytorch, which has no setting for it. */
export const CONV_LIKE_SIDE = 5;

export const unusable = (what: string, where: string, fix: string): DataError =>
  new DataError(what, { code: 'E_WEIGHTS_UNSUPPORTED', where, fix });

/** Throws DataError E_WEIGHTS_UNSUPPORTED when mm does not have such a model. */
export function modelConfig(settings: Settings, tensors: StateDict, where: string): DalleModelConfig {
  const number = (key: string, byDefault?: number): number => {
    const value = settings.get(key) ?? byDefault;
    if (typeof value === 'number') return value;
    throw unusable(`its settings have no ${key}`, where, 'give a checkpoint of train_dalle');
  };
  const names = [...tensors.keys()];
  const textLength = number('text_seq_len');
  const classes = shapeOf(tensors, 'to_logits.1.bias', where)[0] as number;
  const textVocabulary = number('num_text_tokens');
  const attentionTypes = settings.get('attn_types');
  const isSparse = [settings.get('sparse_attn')].flat().includes(true);
  const kinds = [attentionTypes ?? (isSparse ? SPARSE : 'full')].flat();
  const isRotary = !tensors.has('text_pos_emb.weight');
  const ids = (key: string): number[] | undefined => {
    const value = settings.get(key);
    return Array.isArray(value) ? value.map(Number) : undefined;
  };
  const candidate = {
    textLength,
    textVocabulary,
    grid: isRotary
      ? Math.sqrt((shapeOf(tensors, 'transformer.pos_emb', where)[1] as number) - textLength - 1)
      : shapeOf(tensors, 'image_pos_emb.weights.0', where)[1],
    imageVocabulary: classes - textVocabulary - textLength,
    width: number('dim'),
    layers: number('depth'),
    heads: number('heads', 8),
    headWidth: number('dim_head', 64),
    attention: kinds.map((kind) => attentionKind(kind, where)),
    kernelSize: CONV_LIKE_SIDE,
    attentionBias: false,
    rotary: isRotary,
    // Token shift adds one wrapper to each layer.
    tokenShift: names.some((name) => /\.(1|g\.net)\.fn\.fn\.fn(\.fn)?\.net\.0\.weight$/.test(name)),
    sharedAttention: ids('shared_attn_ids'),
    sharedFeedForward: ids('shared_ff_ids'),
    tiedEmbeddings: tensors.has('text_emb.linear.weight'),
    stable: settings.get('stable') === true,
    sandwichNorm: names.some((name) => name.includes('.norm_out.')),
    layerScale: names.some((name) => name.endsWith('.scale')),
    gated: true,
    reversible: names.some((name) => name.startsWith('transformer.layers.blocks.')),
    paddingTargets: 'each',
    zeroIsPadding: true,
  };
  const parsed = dalleModelSchema.safeParse(candidate);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unusable(
    `its ${issue?.path.join('.')} cannot be used: ${issue?.message}`,
    where,
    'convert another model',
  );
}

function attentionKind(kind: PickleValue | undefined, where: string): AttentionKind {
  const ours = typeof kind === 'string' ? ATTENTION[kind] : undefined;
  if (ours) return ours;
  if (kind === SPARSE)
    throw unusable(
      'it has sparse attention, whose random blocks DeepSpeed picks at each start of a program: they are not in the file, so that not even DALLE-pytorch repeats what the model learned with',
      where,
      'convert a model without sparse layers',
    );
  const known = Object.keys(ATTENTION).join(', ');
  throw unusable(`it has ${String(kind)} attention`, where, `mm reads models of ${known}`);
}

function shapeOf(tensors: StateDict, name: string, where: string): readonly number[] {
  const tensor = tensors.get(name);
  if (tensor) return tensor.shape;
  throw unusable(`it has no tensor ${name}`, where, 'give a checkpoint of train_dalle');
}
