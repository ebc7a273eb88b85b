// The recipe of an image: all that determines it, written into its PNG as text chunks and read back by `like`. Nothing
// in a file is trusted: a recipe that is not as `sample` writes it is refused.

import { z } from 'zod';
import type { SampleSettings } from '../inference/sampler/sampling.ts';
import { readPngMetadata } from '../report/images/png.ts';
import { DataError } from '../util/errors.ts';
import { version } from '../util/version.ts';

/** All that determines an image, and the CLIP that picked it. */
export interface Recipe {
  readonly prompt: string;
  readonly seed: number;
  readonly settings: SampleSettings;
  /** Whether the prompt is longer than the model reads, and was cut. */
  readonly truncate: boolean;
  readonly negative?: string | undefined;
  /** Image tokens that the image began with, in whole rows. */
  readonly prime?: Int32Array | undefined;
  /** Beginning of the caption that the model completed to the prompt. */
  readonly completedFrom?: string | undefined;
  /** Path of the checkpoint. */
  readonly checkpoint?: string | undefined;
  /** Hash of the Transformer's weights. */
  readonly model: string;
  /** Hash of the dVAE's weights. */
  readonly dvae?: string | undefined;
  /** Score of the image, and hash of the weights of the CLIP that gave it. */
  readonly choice?: { readonly score: number; readonly clip: string } | undefined;
}

/** Settings as metadata spell them, without those that are not set. */
export function namedSettings({ temperature, topK, topP, guidance }: SampleSettings): Record<string, number> {
  return {
    temperature,
    ...(topK !== undefined && { 'top-k': topK }),
    ...(topP !== undefined && { 'top-p': topP }),
    guidance,
  };
}

/** The recipe as text chunks of a PNG. */
export function toMetadata(recipe: Recipe): Record<string, string> {
  const { negative, prime, completedFrom, checkpoint, dvae, choice } = recipe;
  const settings = { ...namedSettings(recipe.settings), ...(recipe.truncate && { truncate: true }) };
  return {
    prompt: recipe.prompt,
    seed: String(recipe.seed),
    settings: JSON.stringify(settings),
    ...(negative !== undefined && { negative }),
    ...(prime && { prime: prime.join(' ') }),
    ...(completedFrom !== undefined && { 'completed-from': completedFrom }),
    model: recipe.model,
    ...(dvae !== undefined && { dvae }),
    ...(checkpoint !== undefined && { checkpoint }),
    ...(choice && { score: String(choice.score), clip: choice.clip }),
    Software: `mm ${version()}`,
  };
}

const wholeNumber = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform(Number);
const hash = z.string().regex(/^[0-9a-f]{64}$/);

const settingsSchema = z.object({
  temperature: z.number(),
  'top-k': z.number().optional(),
  'top-p': z.number().optional(),
  guidance: z.number(),
  truncate: z.boolean().default(false),
});

const metadataSchema = z.object({
  prompt: z.string(),
  seed: wholeNumber,
  settings: z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue('not JSON');
        return z.NEVER;
      }
    })
    .pipe(settingsSchema),
  negative: z.string().optional(),
  prime: z
    .string()
    .regex(/^\d{1,9}( \d{1,9})*$/)
    .transform((text) => Int32Array.from(text.split(' '), Number))
    .optional(),
  'completed-from': z.string().optional(),
  model: hash,
  dvae: hash.optional(),
  checkpoint: z.string().optional(),
});

/**
 * The recipe in a PNG file.
 * @throws DataError when there is none, or one that `sample` cannot have written
 */
export async function readRecipe(path: string): Promise<Recipe> {
  const metadata = await readPngMetadata(path);
  const fix = 'name a PNG as mm sample wrote it; other programs drop its metadata when they save it';
  if (!['prompt', 'seed', 'settings', 'model'].every((key) => Object.hasOwn(metadata, key))) {
    throw new DataError('the image has no metadata that say how it was made', {
      code: 'E_RECIPE_MISSING',
      where: path,
      fix,
    });
  }
  const parsed = metadataSchema.safeParse(metadata);
  if (!parsed.success) {
    const key = parsed.error.issues[0]?.path.join('.');
    throw new DataError(`the image's metadata are damaged: ${key}`, {
      code: 'E_RECIPE_DAMAGED',
      where: path,
      fix,
    });
  }
  const { settings, 'completed-from': completedFrom, ...recipe } = parsed.data;
  const { temperature, 'top-k': topK, 'top-p': topP, guidance, truncate } = settings;
  return { ...recipe, completedFrom, truncate, settings: { temperature, topK, topP, guidance } };
}
