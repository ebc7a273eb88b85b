// `like`: sampling an image again from the recipe in its PNG.

import type { Generator } from '../inference/sampler/generator.ts';
import { DataError } from '../util/errors.ts';
import type { SampleOptions } from './options.ts';
import type { Recipe } from './recipe.ts';

/** The options with the recipe's values where they say nothing else. */
export function withRecipe(recipe: Recipe, options: SampleOptions): SampleOptions {
  const { prompt, seed, truncate, negative } = recipe;
  const { temperature, topK, topP, guidance } = recipe.settings;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return {
    ...(options.prompts === undefined && options.complete === undefined && { prompts: [prompt] }),
    ...(options.bestOf === undefined && { count: 1 }),
    seed,
    truncate,
    temperature,
    guidance,
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(negative !== undefined && { negative }),
    ...given,
  };
}

/**
 * Checks that the model is the one that sampled the image.
 * @param path of the model's checkpoint
 * @param like path of the image
 * @throws DataError that names both hashes otherwise
 */
export function assertSameModel(recipe: Recipe, generator: Generator, path: string, like: string): void {
  for (const [kind, expected, received] of [
    [generator.what, recipe.model, generator.hash],
    ['dVAE', recipe.dvae, generator.codec.hash],
  ] as const) {
    if (expected === undefined || expected === received) continue;
    throw new DataError(`${like} was sampled by the ${kind} ${expected}, and this is ${received}`, {
      code: 'E_MODEL_DIFFERS',
      where: path,
      fix: 'name the checkpoint that sampled the image',
    });
  }
}
