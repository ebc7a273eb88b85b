// Images for prompts, one after the other as they are finished: what mm sample does, for programs. Writes no file and
// ends no process.

import { readCheckpoint } from '../checkpoint/read.ts';
import { Runtime } from '../engine/session/runtime.ts';
import { useCallingThread } from '../engine/session/threads.ts';
import { ClipPipeline } from '../inference/clip/pipeline.ts';
import { topKCount } from '../inference/dalle/logits-processor.ts';
import { DallePipeline, type GenerateRequest } from '../inference/dalle/pipeline.ts';
import type { SampleSettings } from '../inference/dalle/sampler.ts';
import { encodePng } from '../report/images/png.ts';
import { DataError, UsageError } from '../util/errors.ts';
import { type BestOf, bestOf, checkPrompts, type ScoredImage } from './best-of.ts';
import { checkOptions, DEFAULTS, type Named, type SampleOptions } from './options.ts';
import { Preview } from './preview.ts';
import { primeCodes } from './prime.ts';
import { namedSettings, type Recipe, readRecipe, toMetadata } from './recipe.ts';

/** A finished image. */
export interface SampledImage {
  readonly prompt: string;
  /** The beginning that the model made the prompt from. */
  readonly completedFrom?: string;
  readonly seed: number;
  /** RGB, size × size × 3; a part of an array that holds all of the batch. */
  readonly pixels: Uint8Array;
  readonly size: number;
  /** CLIP's cosine of the prompt and the image, where CLIP chose it. */
  readonly score?: number;
  /** Temperature, top-k, top-p and guidance. */
  readonly settings: Readonly<Record<string, number>>;
  /** All that it takes to make the image again, as the texts of its PNG say it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The image as a PNG file that carries `metadata`; `like` takes such a file. */
  png(): Promise<Uint8Array>;
}

/**
 * Draws images for prompts; each prompt's in the order of their seeds, or of CLIP's scores. The image of a prompt,
 * a seed and settings is the same whatever else is drawn. Everything is closed when the iteration ends, also early.
 * The process gets TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD, where it has none.
 * @param named what messages call the options, for programs that have names of their own for them
 * @throws UsageError for options that are wrong, DataError for files that are, EngineError without libtensorflow, and
 * the reason of `signal`
 */
export async function* sample(
  options: SampleOptions,
  named: Named = (option) => option,
): AsyncGenerator<SampledImage, void, undefined> {
  const recipe = options.like === undefined ? undefined : await readRecipe(options.like);
  const asked = recipe ? { ...optionsOf(recipe, options), ...given(options) } : options;
  const choice = checkOptions(asked, named);
  const { prompts = [], complete = [], seed = DEFAULTS.seed, truncate = false, signal } = asked;
  if (prompts.length + complete.length === 0) {
    throw new UsageError('there is no prompt', {
      where: named('prompts'),
      fix: 'say what the image shows',
    });
  }
  const warn = asked.onWarning ?? ((message: string) => process.emitWarning(message));
  const checkpoint = await readCheckpoint(pathOf(asked, recipe, named), { kind: 'dalle', warn });
  const chooser =
    asked.clip === undefined ? undefined : await readCheckpoint(asked.clip, { kind: 'clip', warn });
  useCallingThread();
  const runtime = new Runtime();
  let preview: Preview | undefined;
  try {
    const pipeline = await DallePipeline.open(runtime, checkpoint);
    if (recipe) refuseOther(recipe, pipeline, checkpoint.path, asked.like as string);
    const settings: SampleSettings = {
      temperature: asked.temperature ?? DEFAULTS.temperature,
      topK: topKCount(asked.topK, pipeline.config.model.imageVocabulary),
      topP: asked.topP,
      guidance: asked.guidance ?? DEFAULTS.guidance,
    };
    pipeline.checkSettings(settings);
    const start = asked.prime ? await primeCodes(asked.prime, pipeline.codec, named) : recipe?.prime;
    if (start && start.length >= pipeline.codec.grid ** 2)
      throw new DataError('the image says that all of it was kept', { where: asked.like as string });
    const negative = asked.negative === undefined ? '' : asked.negative.trim();
    const negativeTokens = negative === '' ? undefined : pipeline.encode(negative, truncate);
    for (const prompt of prompts) pipeline.encode(prompt, truncate);
    const clip = chooser && (await ClipPipeline.open(runtime, chooser));
    const selection = (all: readonly string[]): BestOf | undefined => {
      const batch = Math.min(asked.batchSize ?? DEFAULTS.batchSize, all.length * choice.drawn);
      const selected = clip && { ...choice, clip, batch, truncate };
      if (selected) checkPrompts(selected, all);
      return selected;
    };
    selection(prompts);

    const beginnings = new Map<string, string>();
    for await (const [beginning, caption] of pipeline.complete(
      complete,
      settings,
      asked.topK,
      seed,
      signal,
    )) {
      beginnings.set(caption, beginning);
      asked.onCaption?.(caption, beginning);
    }
    const all = [...prompts, ...beginnings.keys()];
    const selected = selection(all);
    const requests = all.flatMap((prompt): GenerateRequest[] => {
      const captionTokens = pipeline.encode(prompt, truncate || beginnings.has(prompt));
      return Array.from({ length: choice.drawn }, (_, i) => ({
        prompt,
        captionTokens,
        seed: seed + i,
        ...(negativeTokens && { negative: negativeTokens }),
        ...(start && { start }),
      }));
    });
    if (asked.onPreview) preview = new Preview(pipeline.codec, requests, asked.onPreview);
    const total = requests.length * pipeline.codec.grid ** 2;
    asked.onProgress?.(0, total);
    const images = pipeline.generate(requests, settings, {
      batch: Math.min(asked.batchSize ?? DEFAULTS.batchSize, requests.length),
      onToken: (done, unfinished) => {
        asked.onProgress?.(done, total);
        preview?.offer(unfinished);
      },
      signal,
    });
    const chosen: AsyncIterable<Omit<ScoredImage, 'score'> & { readonly score?: number }> = selected
      ? bestOf(images, selected)
      : images;
    for await (const { prompt, seed: own, pixels, size, score } of chosen) {
      await preview?.settle();
      const completedFrom =
        beginnings.get(prompt) ?? (recipe?.prompt === prompt ? recipe.completedFrom : undefined);
      const metadata = toMetadata({
        prompt,
        seed: own,
        settings,
        truncate: pipeline.isTooLong(prompt),
        negative: negativeTokens && negative,
        prime: start,
        completedFrom,
        checkpoint: checkpoint.path,
        model: pipeline.hash,
        dvae: pipeline.codec.hash,
        choice: clip && score !== undefined ? { score, clip: clip.hash } : undefined,
      });
      yield {
        prompt,
        seed: own,
        pixels,
        size,
        settings: namedSettings(settings),
        metadata,
        png: () => encodePng(pixels, size, size, { metadata }),
        ...(completedFrom !== undefined && { completedFrom }),
        ...(score !== undefined && { score }),
      };
    }
  } finally {
    await preview?.settle();
    await runtime.close();
  }
}

/** The options that are there, without those that are undefined. */
const given = (options: SampleOptions): SampleOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** What makes the image of the recipe, where `asked` does not say what else to draw. */
function optionsOf(recipe: Recipe, asked: SampleOptions): SampleOptions {
  const { prompt, seed, truncate, negative } = recipe;
  const { temperature, topK, topP, guidance } = recipe.settings;
  return {
    ...(asked.prompts === undefined && asked.complete === undefined && { prompts: [prompt] }),
    ...(asked.bestOf === undefined && { count: 1 }),
    seed,
    truncate,
    temperature,
    guidance,
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(negative !== undefined && { negative }),
  };
}

function pathOf({ dalle, like }: SampleOptions, recipe: Recipe | undefined, named: Named): string {
  const path = dalle ?? recipe?.checkpoint;
  if (path !== undefined) return path;
  throw new UsageError(`${named('dalle')} is missing: it says which model draws`, {
    where: like ?? named('dalle'),
    fix: 'name a checkpoint or run of mm train-dalle',
  });
}

/** An image is not repeated by other weights than those that drew it. */
function refuseOther(recipe: Recipe, pipeline: DallePipeline, path: string, like: string): void {
  for (const [what, drawn, found] of [
    ['DALL·E', recipe.model, pipeline.hash],
    ['dVAE', recipe.dvae, pipeline.codec.hash],
  ] as const) {
    if (drawn === undefined || drawn === found) continue;
    throw new DataError(`${like} was drawn by the ${what} ${drawn}, and this is ${found}`, {
      where: path,
      fix: 'name the checkpoint that drew it',
    });
  }
}
