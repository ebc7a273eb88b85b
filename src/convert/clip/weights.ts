// Other people's CLIP weights as ours: the configuration that their shapes or their config.json tell, and their tensors
// in our layout, inputs before outputs. Which name is which is names.ts.

import { z } from 'zod';
import type { TensorData, TensorType } from '../../checkpoint/dtype.ts';
import { widen } from '../../checkpoint/half.ts';
import type { TensorSource } from '../../checkpoint/safetensors.ts';
import { type ClipModelConfig, clipModelSchema } from '../../config/clip.ts';
import { RESNET_STRIDE } from '../../config/clip-towers.ts';
import { clipSpec } from '../../models/clip/model.ts';
import { flatten } from '../../nn/parameters.ts';
import { DataError } from '../../util/errors.ts';
import { huggingFaceRules, lucidRules, openaiRules, type Rule } from './names.ts';

/** A tensor of another program, read when its turn comes. */
export interface ForeignTensor {
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  read(): Promise<TensorData>;
}
export type StateDict = ReadonlyMap<string, ForeignTensor>;

export interface ConvertedClip {
  readonly model: ClipModelConfig;
  /** By our names, float32. */
  readonly tensors: ReadonlyMap<string, TensorSource>;
}

/** Buffers that carry nothing to learn. */
const BUFFER =
  /(^|\.)(position_ids|num_batches_tracked|attn_mask|input_resolution|context_length|vocab_size|pos_emb)$/;

/** [O, rest] → [rest, O]: of matrices, and of kernels [O, I, H, W] → [H, W, I, O]. */
function outputsLast(data: Float32Array, shape: readonly number[]): Float32Array {
  const [outputs, inputs, height = 1, width = 1] = shape as [number, number, number?, number?];
  const area = height * width;
  const result = new Float32Array(data.length);
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++)
      for (let a = 0; a < area; a++)
        result[(a * inputs + i) * outputs + o] = data[(o * inputs + i) * area + a] as number;
  return result;
}

const WRONG = {
  fix: 'check that the file is whole, and that its configuration is its own',
} as const;

const misfit = (what: string, where: string): DataError =>
  new DataError(`not the weights of such a CLIP: ${what}`, { where, ...WRONG });

async function toFloat32(tensor: ForeignTensor): Promise<Float32Array> {
  const { data } = widen(await tensor.read());
  return data instanceof Float32Array ? data : Float32Array.from(data as Float64Array);
}

/** Several tensors one after the other. */
async function joined(parts: readonly ForeignTensor[]): Promise<Float32Array> {
  if (parts.length === 1) return toFloat32(parts[0] as ForeignTensor);
  const arrays = await Promise.all(parts.map(toFloat32));
  const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * The tensors under our names.
 * @throws DataError when one is missing, unknown, or of a shape that the configuration does not give it
 */
function rename(source: StateDict, model: ClipModelConfig, rules: readonly Rule[], where: string) {
  const shapes = new Map(flatten(clipSpec(model)).map(([name, { shape }]) => [name, shape]));
  const used = new Set(rules.flatMap(([, theirs]) => theirs));
  const tensors = rules.map(([ours, theirs, layout]): [string, TensorSource] => {
    const parts = theirs.map((name) => {
      const tensor = source.get(name);
      if (!tensor) throw misfit(`${name} is missing`, where);
      if (!/^b?float/.test(tensor.dtype))
        throw misfit(`${name} is of type ${tensor.dtype}, where weights are floats`, where);
      return tensor;
    });
    const [outputs = 1, ...rest] = (parts[0] as ForeignTensor).shape;
    const theirShape = [outputs * parts.length, ...rest];
    const shape = shapes.get(ours);
    if (!shape) throw misfit(`${theirs.join(', ')} has no place`, where);
    const fits = layout === 'plain' || theirShape[0] === shape.at(-1);
    if (elements(theirShape) !== elements(shape) || !fits)
      throw misfit(
        `${theirs.join(', ')} is [${theirShape}], the configuration makes ${ours} [${shape}]`,
        where,
      );
    const data = async (): Promise<Float32Array> => {
      const flat = await joined(parts);
      return layout === 'plain' ? flat : outputsLast(flat, theirShape);
    };
    return [ours, { dtype: 'float32', shape: [...shape], data }];
  });
  const extra = [...source.keys()].filter((name) => !used.has(name) && !BUFFER.test(name));
  if (extra.length > 0) {
    const rest = extra.length > 3 ? ` and ${extra.length - 3} more` : '';
    throw misfit(`${extra.slice(0, 3).join(', ')}${rest} unknown`, where);
  }
  return new Map(tensors);
}

/** The shape of a tensor that says something of the configuration. */
function shapeOf(source: StateDict, name: string, where: string): readonly number[] {
  const tensor = source.get(name);
  if (!tensor) throw misfit(`${name} is missing`, where);
  return tensor.shape;
}

/** How many different numbers stand in place of # in the names. */
function count(source: StateDict, pattern: string): number {
  const [before, after] = pattern.split('#') as [string, string];
  const numbers = [...source.keys()].flatMap((name) =>
    name.startsWith(before) ? [name.slice(before.length).split(after)[0] as string] : [],
  );
  return new Set(numbers).size;
}

function checked(model: unknown, where: string): ClipModelConfig {
  const parsed = clipModelSchema.safeParse(model);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw misfit(`${issue?.path.join('.')}: ${issue?.message}`, where);
}

export const isOpenai = (source: StateDict): boolean =>
  source.has('text_projection') && source.has('ln_final.weight') && source.has('positional_embedding');
export const isHuggingFace = (source: StateDict): boolean =>
  source.has('vision_model.pre_layrnorm.weight') && source.has('text_projection.weight');
export const isLucid = (source: StateDict): boolean =>
  source.has('to_visual_latent.weight') && source.has('to_text_latent.weight');

/**
 * Weights named as openai/CLIP and open_clip do. Heads are 64 wide, as in every published size.
 * @param activation QuickGELU in OpenAI's own; open_clip trained most of its models with GELU
 * @throws DataError when they do not fit together
 */
export function fromOpenai(
  source: StateDict,
  where: string,
  activation: ClipModelConfig['activation'] = 'quick-gelu',
): ConvertedClip {
  const shape = (name: string): readonly number[] => shapeOf(source, name, where);
  const [length, textWidth] = shape('positional_embedding');
  const [vocabulary] = shape('token_embedding.weight');
  const [, embedding] = shape('text_projection');
  const text = { length, vocabulary, width: textWidth, layers: count(source, 'transformer.resblocks.#.') };
  const image = source.has('visual.proj') ? vitOf(source, shape) : resnetOf(source, shape);
  const model = checked({ embedding, activation, image, text }, where);
  return { model, tensors: rename(source, model, openaiRules(model), where) };
}

function vitOf(source: StateDict, shape: (name: string) => readonly number[]) {
  const [width, , patch = 0] = shape('visual.conv1.weight');
  const [positions = 0] = shape('visual.positional_embedding');
  const size = Math.round(Math.sqrt(positions - 1)) * patch;
  return { tower: 'vit', size, patch, width, layers: count(source, 'visual.transformer.resblocks.#.') };
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

const tower = z.object({
  num_hidden_layers: z.int().positive().default(12),
  hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
  layer_norm_eps: z.literal(1e-5).default(1e-5),
});
/** config.json of Hugging Face's CLIPModel; it leaves out what is as its library has it by default. */
const huggingFaceSchema = z.object({
  model_type: z.literal('clip'),
  projection_dim: z.int().positive().default(512),
  text_config: tower
    .extend({
      hidden_size: z.int().positive().default(512),
      intermediate_size: z.int().positive().default(2048),
      num_attention_heads: z.int().positive().default(8),
      vocab_size: z.int().positive().default(49408),
      max_position_embeddings: z.int().positive().default(77),
    })
    .prefault({}),
  vision_config: tower
    .extend({
      hidden_size: z.int().positive().default(768),
      intermediate_size: z.int().positive().default(3072),
      num_attention_heads: z.int().positive().default(12),
      image_size: z.int().positive().default(224),
      patch_size: z.int().positive().default(32),
    })
    .prefault({}),
});

/**
 * Weights named as Hugging Face's transformers does.
 * @param config the parsed config.json beside them
 * @throws DataError when it is not of a CLIP, or they do not fit together
 */
export function fromHuggingFace(source: StateDict, config: unknown, where: string): ConvertedClip {
  const parsed = huggingFaceSchema.safeParse(config);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw misfit(`config.json: ${issue?.path.join('.')}: ${issue?.message}`, where);
  }
  const { projection_dim: embedding, text_config: text, vision_config: image } = parsed.data;
  for (const [name, { hidden_size, intermediate_size }] of Object.entries({ text, image })) {
    if (intermediate_size !== 4 * hidden_size)
      throw misfit(`the ${name} tower's feed-forward layers are not four times as wide as it is`, where);
  }
  if (text.hidden_act !== image.hidden_act) throw misfit('the towers have different activations', where);
  const model = checked(
    {
      embedding,
      activation: text.hidden_act.replace('_', '-'),
      image: {
        size: image.image_size,
        patch: image.patch_size,
        width: image.hidden_size,
        layers: image.num_hidden_layers,
        heads: image.num_attention_heads,
      },
      text: {
        vocabulary: text.vocab_size,
        length: text.max_position_embeddings,
        width: text.hidden_size,
        layers: text.num_hidden_layers,
        heads: text.num_attention_heads,
      },
    },
    where,
  );
  return { model, tensors: rename(source, model, huggingFaceRules(model), where) };
}

/**
 * The weights of lucidrains' DALLE-pytorch CLIP; everything follows from their shapes, since heads are 64 wide.
 * It reads pixels in [0, 1] as they are.
 * @throws DataError when they do not fit together
 */
export function fromLucid(source: StateDict, where: string): ConvertedClip {
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
  return { model, tensors: rename(source, model, lucidRules(model), where) };
}
