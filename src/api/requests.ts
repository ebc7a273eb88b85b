// What a call of `sample` asks its pipeline for.

import type { GenerateRequest } from '../inference/sampler/pipeline.ts';
import type { SampleSettings } from '../inference/sampler/sampling.ts';
import { choiceOf, DEFAULTS, type SampleOptions } from './options.ts';
import type { EncodedPrompts } from './prompts.ts';

/** What all images of a call have in common. */
export interface Conditions {
  readonly settings: SampleSettings;
  /** Image tokens that every image begins with. */
  readonly start: Int32Array | undefined;
  /** Undefined for the empty caption. */
  readonly negative: { readonly prompt: string; readonly tokens: readonly number[] } | undefined;
}

/** Images that are sampled at a time on each of `devices` devices, of `count` prompts. */
export const batchOf = (count: number, devices: number, options: SampleOptions): number =>
  Math.min(
    options.batchSize ?? DEFAULTS.batchSize,
    Math.ceil((count * choiceOf(options).candidates) / devices),
  );

/** The candidates of each prompt. */
export const requestsOf = (
  prompts: readonly string[],
  encoded: EncodedPrompts,
  { negative, start }: Conditions,
  options: SampleOptions,
): GenerateRequest[] =>
  prompts.flatMap((prompt) =>
    Array.from({ length: choiceOf(options).candidates }, (_, i) => ({
      prompt,
      captionTokens: encoded.tokens(prompt),
      seed: (options.seed ?? DEFAULTS.seed) + i,
      ...(negative && { negative: negative.tokens }),
      ...(start && { start }),
    })),
  );
