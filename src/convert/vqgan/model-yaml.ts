// The YAML files beside the checkpoints of taming-transformers (model.yaml, …-project.yaml) and latent-diffusion
// (config.yaml). They are data: the class that `target` names is compared, never loaded.

import { z } from 'zod';
import { readYaml } from '../../config/source.ts';
import { DataError } from '../../util/errors.ts';
import type { Json } from '../origin.ts';

const whole = z.int().positive();

const parametersSchema = z.looseObject({
  embed_dim: whole,
  n_embed: whole.optional(),
  remap: z.string().nullish(),
  ddconfig: z.looseObject({
    double_z: z.boolean().default(true),
    z_channels: whole,
    resolution: whole,
    in_channels: whole,
    out_ch: whole,
    ch: whole,
    ch_mult: z.array(whole).default([1, 2, 4, 8]),
    num_res_blocks: whole,
    attn_resolutions: z.array(whole),
    resamp_with_conv: z.boolean().default(true),
    attn_type: z.string().default('vanilla'),
    use_linear_attn: z.boolean().default(false),
    tanh_out: z.boolean().default(false),
  }),
});
const autoencoderSchema = z.looseObject({ target: z.string(), params: parametersSchema });

/** The autoencoder itself, or that of a model of its codes: taming's Net2NetTransformer, latent-diffusion's models. */
const wholeSchema = z.looseObject({
  params: z.looseObject({ first_stage_config: z.looseObject({ target: z.string() }) }),
});

export type TamingParameters = z.output<typeof parametersSchema>;

export interface ModelYaml {
  readonly file: string;
  /** The name of the autoencoder's class, without its module. */
  readonly className: string;
  readonly parameters: TamingParameters;
  /** All of the file, where JSON has its values. */
  readonly whole: Json | undefined;
}

/** The autoencoder's node in a parsed file, whatever is in it; undefined where there is none. */
function autoencoderIn(value: unknown): unknown {
  const model = z.looseObject({ model: z.unknown() }).safeParse(value).data?.model ?? value;
  const first = wholeSchema.safeParse(model).data?.params.first_stage_config;
  if (first) return first;
  const hasSizes = z.looseObject({ params: z.looseObject({ ddconfig: z.unknown() }) }).safeParse(model);
  return hasSizes.success ? model : undefined;
}

/**
 * Reads a file; undefined when it describes no such autoencoder.
 * @throws UsageError when it cannot be read as YAML; DataError when sizes are missing or of a wrong type
 */
export function readModelYaml(file: string): ModelYaml | undefined {
  const { value } = readYaml(file);
  const node = autoencoderIn(value);
  if (node === undefined) return undefined;
  const parsed = autoencoderSchema.safeParse(node);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new DataError(`${issue?.path.join('.')}: ${issue?.message}`, {
      code: 'E_MODEL_YAML',
      where: file,
      fix: 'give the file that the weights were trained with, with the sizes under ddconfig, n_embed and embed_dim',
    });
  }
  const { target, params } = parsed.data;
  const className = target.split('.').at(-1) as string;
  return { file, className, parameters: params, whole: z.json().safeParse(value).data };
}
