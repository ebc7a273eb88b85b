// Other people's CLIP weights as ours: the configuration that their shapes tell, and their tensors in our layout, inputs
// before outputs. Which name is which is names.ts; those of transformers, hugging-face.ts.

import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { RESNET_STRIDE } from '../../config/clip-towers.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { UsageError } from '../../util/errors.ts';
import { type Rule, renameExactly } from '../rules.ts';
import { misfit, type StateDict } from '../tensors.ts';
import { dallePytorchRules, openaiRules } from './names.ts';
import { resizedPositions } from './positions.ts';

export interface ConvertedClip {
  readonly model: ClipModelConfig;
  /** By our names, in the type the weights came in. */
  readonly tensors: ReadonlyMap<string, TensorSource>;
  /** Names and types of tensors beside them that cannot be weights. */
  readonly inert: readonly string[];
  /** Buffers beside them. */
  readonly beside: StateDict;
}

/** Buffers that carry nothing to learn. */
const BUFFER =
  /(^|\.)(position_ids|num_batches_tracked|attn_mask|input_resolution|context_length|vocab_size|pos_emb)$/;

/** The tensors under our names. */
export const renamed = (source: StateDict, model: ClipModelConfig, rules: readonly Rule[], where: string) =>
  renameExactly(source, rules, clipSpec(model), where, BUFFER);

/** The shape of a tensor that says something of the configuration. */
function shapeOf(source: StateDict, name: string, where: string): readonly number[] {
  const tensor = source.get(name);
  if (!tensor) throw misfit(`${name} is missing`, where);
  return tensor.shape;
}

/** How many different numbers stand instead of # in the names. */
function count(source: StateDict, pattern: string): number {
  const [before, after] = pattern.split('#') as [string, string];
  const numbers = [...source.keys()].flatMap((name) =>
    name.startsWith(before) ? [name.slice(before.length).split(after)[0] as string] : [],
  );
  return new Set(numbers).size;
}

/** @throws UsageError, DataError for sizes that no model has */
export function checked(model: unknown, where: string): ClipModelConfig {
  const parsed = clipModelSchema.safeParse(model);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.');
  if (at === 'image.size')
    throw new UsageError(`\`imageSize\`: ${issue?.message}`, {
      code: 'E_OPTION_VALUE',
      option: 'imageSize',
      where,
      fix: 'give a multiple of the patches that the weights were made for',
    });
  throw misfit(`${at}: ${issue?.message}`, where);
}

/** What tensors do not tell of a model; the model's defaults, which are OpenAI's, where left out. */
export interface ClipSettings {
  readonly activation?: ClipModelConfig['activation'] | undefined;
  readonly image?: Partial<ClipModelConfig['image']>;
  readonly text?: Partial<ClipModelConfig['text']>;
}

/**
 * Weights named as openai/CLIP and open_clip do.
 * @param settings what the tensors do not tell; OpenAI's by default
 * @throws DataError when they do not fit together
 */
export function fromOpenai(source: StateDict, where: string, settings: ClipSettings = {}): ConvertedClip {
  const shape = (name: string): readonly number[] => shapeOf(source, name, where);
  const [length, textWidth] = shape('positional_embedding');
  const [vocabulary] = shape('token_embedding.weight');
  const embedding = embeddingOf(source);
  const text = {
    length,
    vocabulary,
    width: textWidth,
    ...blocksOf(source, 'transformer.resblocks', 'c_fc', shape),
    projection: projectionOf(source),
    ...settings.text,
  };
  const image = { ...imageOf(source, shape), ...settings.image };
  const { activation } = settings;
  const loss = source.has('logit_bias') ? 'sigmoid' : 'softmax';
  const model = checked({ embedding, loss, ...(activation && { activation }), image, text }, where);
  return { model, ...renamed(resizedPositions(source, model), model, openaiRules(model), where) };
}

/** A tensor that only SigLIP's image tower has, in timm. */
export const SIGLIP_PROBE = 'visual.trunk.attn_pool.latent';

/** The patches of a ViT: open_clip's own or timm's. */
export const patchesOf = (source: StateDict): string =>
  source.has(SIGLIP_PROBE) ? 'visual.trunk.patch_embed.proj.weight' : 'visual.conv1.weight';

/** How the text tower ends: with a bias or with nothing in SigLIP's. */
function projectionOf(source: StateDict): ClipModelConfig['text']['projection'] {
  if (source.has('text_projection')) return 'linear';
  return source.has('text_projection.weight') ? 'affine' : 'none';
}

export const embeddingOf = (source: StateDict): number | undefined => {
  const projection = source.get('text_projection');
  if (projection) return projection.shape[1];
  return (source.get('text_projection.weight') ?? source.get('ln_final.weight'))?.shape[0];
};

const imageOf = (source: StateDict, shape: (name: string) => readonly number[]) => {
  if (source.has(SIGLIP_PROBE)) return siglipOf(source, shape);
  return source.has('visual.proj') ? vitOf(source, shape) : resnetOf(source, shape);
};

/** Depth and feed-forward width of a tower, and whether it has LayerScale. */
function blocksOf(
  source: StateDict,
  name: string,
  expand: 'c_fc' | 'fc1',
  shape: (name: string) => readonly number[],
) {
  const [hidden = 0, width = 1] = shape(`${name}.0.mlp.${expand}.weight`);
  return {
    layers: count(source, `${name}.#.`),
    mlpRatio: hidden / width,
    ...(source.has(`${name}.0.ls_1.gamma`) && { layerScale: LAYER_SCALE }),
  };
}
/** The initial value is not in the weights; this is open_clip's, and no trained weight depends on it. */
const LAYER_SCALE = 1e-4;

function vitOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width, , patch = 0] = shape('visual.conv1.weight');
  const [positions = 0] = shape('visual.positional_embedding');
  const size = Math.round(Math.sqrt(positions - 1)) * patch;
  const inputNorm = source.has('visual.ln_pre.weight');
  return {
    tower: 'vit',
    size,
    patch,
    width,
    inputNorm,
    ...blocksOf(source, 'visual.transformer.resblocks', 'c_fc', shape),
  };
}

/** Settings that every SigLIP's image tower has. */
export const SIGLIP_IMAGE = { pool: 'map', patchBias: true, inputNorm: false, projection: 'none' } as const;

function siglipOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width, , patch = 0] = shape(patchesOf(source));
  const [, positions = 0] = shape('visual.trunk.pos_embed');
  const size = Math.round(Math.sqrt(positions)) * patch;
  return { ...SIGLIP_IMAGE, size, patch, width, ...blocksOf(source, 'visual.trunk.blocks', 'fc1', shape) };
}

function resnetOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width] = shape('visual.layer1.0.conv1.weight');
  const [positions = 0] = shape('visual.attnpool.positional_embedding');
  const size = Math.round(Math.sqrt(positions - 1)) * RESNET_STRIDE;
  return {
    tower: 'resnet',
    size,
    width,
    blocks: [1, 2, 3, 4].map((n) => count(source, `visual.layer${n}.#.`)),
  };
}

/**
 * The weights of lucidrains' DALLE-pytorch CLIP; everything follows from their shapes, since heads are 64 wide.
 * It reads pixels in [0, 1] as they are.
 * @throws DataError when they do not fit together
 */
export function fromDallePytorch(source: StateDict, where: string): ConvertedClip {
  const shape = (name: string): readonly number[] => shapeOf(source, name, where);
  const [vocabulary, textWidth] = shape('text_emb.weight');
  const [length] = shape('text_pos_emb.weight');
  const [width, inputs = 0] = shape('to_visual_embedding.weight');
  const [positions = 0] = shape('visual_pos_emb.weight');
  const [embedding] = shape('to_text_latent.weight');
  const heads = (name: string): number =>
    (shape(`${name}.layers.layers.0.0.fn.fn.fn.to_out.0.weight`)[1] ?? 0) / 64;
  const layers = (name: string): number => count(source, `${name}.layers.layers.#.`);
  const patch = Math.round(Math.sqrt(inputs / 3));
  const model = checked(
    {
      architecture: 'dalle-pytorch',
      embedding,
      image: {
        size: Math.round(Math.sqrt(positions)) * patch,
        patch,
        width,
        layers: layers('visual_transformer'),
        heads: heads('visual_transformer'),
        mean: [0, 0, 0],
        stddev: [1, 1, 1],
      },
      text: {
        vocabulary,
        length,
        width: textWidth,
        layers: layers('text_transformer'),
        heads: heads('text_transformer'),
      },
    },
    where,
  );
  return { model, ...renamed(source, model, dallePytorchRules(model), where) };
}
