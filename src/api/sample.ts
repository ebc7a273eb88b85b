// Images for prompts, each as soon as it is finished: what mm sample does, for programs. Writes no file and never ends
// the process.

import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { loadCheckpoint, readCheckpoint } from '../checkpoint/read.ts';
import { assertPrecision } from '../engine/session/assert-precision.ts';
import { parseDevices } from '../engine/session/devices.ts';
import { closeAll, type OfDevices, onEachDevice, runtimesOn } from '../engine/session/each-device.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { useCallingThread, useOwnThreads } from '../engine/session/threads.ts';
import { ClipPipeline } from '../inference/clip/pipeline.ts';
import { openPipeline } from '../inference/open-pipeline.ts';
import { generateOn } from '../inference/sampler/generate-on.ts';
import { topKCount } from '../inference/sampler/logits-processor.ts';
import type { GenerateRequest, Pipeline } from '../inference/sampler/pipeline.ts';
import { rowsOf, type SampleSettings } from '../inference/sampler/sampling.ts';
import { encodePng } from '../report/images/png.ts';
import { DataError, UsageError } from '../util/errors.ts';
import { type BestOf, bestOf, checkPrompts, type ScoredImage } from './best-of.ts';
import { checkOptions, choiceOf, DEFAULTS, type SampleOptions } from './options.ts';
import { Preview } from './preview.ts';
import { primeTokens } from './prime.ts';
import { EncodedPrompts } from './prompts.ts';
import { namedSettings, type Recipe, readRecipe, toMetadata } from './recipe.ts';
import { assertSameModel, withRecipe } from './repeat.ts';
import { batchOf, type Conditions, requestsOf } from './requests.ts';

/** A finished image. */
export interface SampledImage {
  readonly prompt: string;
  /** Beginning of the caption that the model completed to the prompt. */
  readonly completedFrom?: string;
  readonly seed: number;
  /** RGB, size × size × 3; a view of the pixels of its batch. */
  readonly pixels: Uint8Array;
  readonly size: number;
  /** With `bestOf`: cosine similarity of prompt and image by CLIP. */
  readonly score?: number;
  /** Temperature, top-k, top-p and guidance. */
  readonly settings: Readonly<Record<string, number>>;
  /** All that determines the image, as the text chunks of its PNG. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The image as a PNG file with `metadata`; `like` takes such a file. */
  png(): Promise<Uint8Array>;
}

/**
 * Samples images for prompts, yielded in the order of prompts and seeds, or with `bestOf` of scores. An image depends
 * on its prompt, seed and settings alone, not on other images or the batch. Everything is closed when the iteration
 * ends, also early. Sets the environment variables TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD and
 * TF_OVERRIDE_GLOBAL_THREADPOOL where they are not set.
 * @throws UsageError for wrong options, DataError for unusable files, EngineError without libtensorflow, and the reason
 * of `signal`
 */
export async function* sample(options: SampleOptions): AsyncGenerator<SampledImage, void, undefined> {
  const recipe = options.like === undefined ? undefined : await readRecipe(options.like);
  const resolved = recipe ? withRecipe(recipe, options) : options;
  checkOptions(resolved);
  const { prompts = [], complete = [], clip } = resolved;
  if (prompts.length + complete.length === 0) {
    throw new UsageError('there is no prompt', {
      code: 'E_PROMPT_MISSING',
      option: 'prompts',
      fix: 'say what the image shows',
    });
  }
  const warn = resolved.onWarning ?? ((message: string) => process.emitWarning(message));
  const path = modelPath(resolved, recipe);
  const clipCheckpoint = clip === undefined ? undefined : await readCheckpoint(clip, { kind: 'clip', warn });
  useCallingThread();
  useOwnThreads();
  const opened = await loadCheckpoint(path, { kind: 'dalle', warn }, (found) =>
    openGenerators(found, resolved, recipe),
  );
  const { runtimes, conditions } = opened;
  const [runtime] = runtimes;
  try {
    const { candidates } = choiceOf(resolved);
    if (conditions.settings.topK === 1 && candidates > 1)
      warn(`top-k 1 leaves nothing to chance: the ${candidates} images of a prompt are equal`);
    const openClip = async () => clipCheckpoint && (await ClipPipeline.open(runtime, clipCheckpoint));
    yield* sampleWith(opened, resolved, recipe, openClip, warn);
  } finally {
    await closeAll(runtimes);
  }
}

/** What the pipelines are asked for, and the prompts, as far as they are encoded. */
interface Begun {
  readonly conditions: Conditions;
  readonly encoded: EncodedPrompts;
}

interface Opened extends Begun {
  readonly checkpoint: Checkpoint;
  readonly runtimes: OfDevices<Runtime>;
  readonly pipelines: OfDevices<Pipeline>;
}

/**
 * The pipelines of a checkpoint, one on each device, and their runtimes, which the caller closes. Where one device is to
 * sample images for known prompts, it processes the first ones while the weights are loaded.
 */
async function openGenerators(
  checkpoint: Checkpoint,
  options: SampleOptions,
  recipe: Recipe | undefined,
): Promise<Opened> {
  const { devices, precision = DEFAULTS.precision, prompts = [], complete = [], signal } = options;
  const { guidance = DEFAULTS.guidance } = options;
  const runtimes = runtimesOn(parseDevices(devices));
  const begun: Partial<Begun> = {};
  const begin = async (pipeline: Pipeline): Promise<void> => {
    if (recipe) assertSameModel(recipe, pipeline.generator, checkpoint.path, options.like as string);
    const conditions = await conditionsOf(pipeline, options, recipe);
    const encoded = new EncodedPrompts(pipeline);
    Object.assign(begun, { conditions, encoded } satisfies Begun);
    if (runtimes.length > 1 || complete.length > 0) return;
    for (const prompt of prompts) encoded.add(prompt, options.truncate ?? false);
    const requests = requestsOf(prompts, encoded, conditions, options);
    const batch = batchOf(prompts.length, runtimes.length, options);
    await pipeline.prepare(requests, conditions.settings, { batch, signal });
  };
  try {
    await assertPrecision(runtimes[0], precision);
    const pipelines = await onEachDevice(runtimes, (each) =>
      openPipeline(each, checkpoint, {
        precision,
        rows: rowsOf(batchOf(prompts.length + complete.length, runtimes.length, options), { guidance }),
        meanwhile: each === runtimes[0] ? begin : undefined,
      }),
    );
    return { checkpoint, runtimes, pipelines, ...(begun as Begun) };
  } catch (error) {
    await closeAll(runtimes);
    throw error;
  }
}

function modelPath({ dalle, like }: SampleOptions, recipe: Recipe | undefined): string {
  const path = dalle ?? recipe?.checkpoint;
  if (path !== undefined) return path;
  throw new UsageError('`dalle` is missing: no model to sample from', {
    code: 'E_MODEL_MISSING',
    option: 'dalle',
    ...(like !== undefined && { where: like }),
    fix: 'set `dalle` to a checkpoint or run of mm train-dalle',
  });
}

/** @throws UsageError, DataError for options that the model does not support */
async function conditionsOf(
  pipeline: Pipeline,
  { temperature, topK, topP, guidance, prime, like, negative = '', truncate = false }: SampleOptions,
  recipe: Recipe | undefined,
): Promise<Conditions> {
  const { codec, tokens, defaults } = pipeline.generator;
  const settings: SampleSettings = {
    temperature: temperature ?? DEFAULTS.temperature,
    topK: topKCount(topK ?? defaults?.topK, tokens.imageVocabulary),
    topP,
    guidance: guidance ?? defaults?.guidance ?? DEFAULTS.guidance,
  };
  pipeline.generator.checkSettings(settings);
  const start = prime ? await primeTokens(prime, codec) : recipe?.prime;
  if (start && start.length >= tokens.imageLength) {
    throw new DataError("the image's metadata keep every row of another image", {
      code: 'E_RECIPE_DAMAGED',
      where: like as string,
      fix: 'name a PNG as mm sample wrote it',
    });
  }
  const prompt = negative.trim();
  return {
    settings,
    start,
    negative:
      prompt === ''
        ? undefined
        : { prompt, tokens: pipeline.encode(prompt, { truncate, option: 'negative' }).tokens },
  };
}

async function* sampleWith(
  { pipelines, checkpoint, conditions, encoded }: Opened,
  options: SampleOptions,
  recipe: Recipe | undefined,
  openClip: () => Promise<ClipPipeline | undefined>,
  warn: (message: string) => void,
): AsyncGenerator<SampledImage, void, undefined> {
  const [pipeline] = pipelines;
  const { settings, start, negative } = conditions;
  const { prompts = [], complete = [], seed = DEFAULTS.seed, truncate = false, signal, onPreview } = options;
  const { candidates, kept } = choiceOf(options);
  const batchFor = (count: number): number => batchOf(count, pipelines.length, options);

  for (const prompt of prompts) {
    const { unread } = encoded.add(prompt, truncate);
    if (unread !== '')
      warn(`the tokenizer does not know these characters of the prompt “${prompt}”: ${unread}`);
  }
  const clip = await openClip();
  const choiceFor = (all: readonly string[]): BestOf | undefined => {
    const choice = clip && { candidates, kept, clip, batch: batchFor(all.length), truncate };
    if (choice) checkPrompts(choice, all);
    return choice;
  };
  // Prompts that CLIP cannot score are an error before the model completes captions.
  choiceFor(prompts);
  const beginnings = new Map<string, string>();
  const completion = { ...settings, topK: options.topK, seed, signal };
  for await (const { beginning, caption } of pipeline.complete(complete, completion)) {
    beginnings.set(caption, beginning);
    encoded.add(caption, true);
    options.onCaption?.(caption, beginning);
  }

  const all = [...prompts, ...beginnings.keys()];
  const choice = choiceFor(all);
  const requests = requestsOf(all, encoded, conditions, options);
  const preview = onPreview && new Preview(pipeline.generator.codec, requests, onPreview);
  try {
    const images = generate(pipelines, requests, settings, batchFor(all.length), options, preview);
    const picked: AsyncIterable<Omit<ScoredImage, 'score'> & { readonly score?: number }> = choice
      ? bestOf(images, choice)
      : images;
    for await (const image of picked) {
      await preview?.settle();
      const { prompt, seed, score } = image;
      const completedFrom =
        beginnings.get(prompt) ?? (recipe?.prompt === prompt ? recipe.completedFrom : undefined);
      yield finished(image, completedFrom, {
        prompt,
        seed,
        settings,
        truncate: encoded.isTruncated(prompt),
        precision: options.precision ?? DEFAULTS.precision,
        negative: negative?.prompt,
        prime: start,
        completedFrom,
        checkpoint: checkpoint.path,
        model: pipeline.generator.hash,
        dvae: pipeline.generator.codec.hash,
        choice: clip && score !== undefined ? { score, clip: clip.hash } : undefined,
      });
    }
  } finally {
    await preview?.settle();
  }
}

/** The pipelines' images, with progress and previews. */
function generate(
  pipelines: OfDevices<Pipeline>,
  requests: readonly GenerateRequest[],
  settings: SampleSettings,
  batch: number,
  { onProgress, signal }: SampleOptions,
  preview: Preview | undefined,
): AsyncGenerator<Omit<ScoredImage, 'score'>> {
  const total = requests.length * pipelines[0].generator.tokens.imageLength;
  onProgress?.(0, total);
  return generateOn(pipelines, requests, settings, {
    batch,
    onToken: (done, unfinished) => {
      onProgress?.(done, total);
      preview?.offer(unfinished);
    },
    signal,
  });
}

function finished(
  { prompt, seed, pixels, size, score }: Omit<ScoredImage, 'score'> & { readonly score?: number },
  completedFrom: string | undefined,
  recipe: Recipe,
): SampledImage {
  const metadata = toMetadata(recipe);
  return {
    prompt,
    seed,
    pixels,
    size,
    settings: namedSettings(recipe.settings),
    metadata,
    png: () => encodePng(pixels, size, size, { metadata }),
    ...(completedFrom !== undefined && { completedFrom }),
    ...(score !== undefined && { score }),
  };
}
