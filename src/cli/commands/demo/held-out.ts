// Samples for held-out prompts, each judged from its pixels and ranked by the demo's CLIP.

import { readCheckpoint } from '../../../checkpoint/read.ts';
import { type HeldOutPrompt, heldOutPrompts } from '../../../data/shapes/heldout.ts';
import { measureScene, type SceneMeasure } from '../../../data/shapes/measure/measure.ts';
import { Runtime } from '../../../engine/session/runtime.ts';
import { ClipPipeline } from '../../../inference/clip/pipeline.ts';
import { openPipeline } from '../../../inference/open-pipeline.ts';
import type { GeneratedImage } from '../../../inference/sampler/pipeline.ts';
import type { SampleSettings } from '../../../inference/sampler/sampling.ts';
import { InterruptedError } from '../../../util/errors.ts';
import type { Context } from '../../command.ts';

export const HELD_OUT_KINDS = ['scenes', 'pairs'] as const;
export type HeldOutKind = (typeof HELD_OUT_KINDS)[number];

export interface JudgedSample extends GeneratedImage {
  readonly measure: SceneMeasure;
  /** CLIP's cosine similarity of prompt and image. */
  readonly score: number;
}

/** A prompt and all of its samples, in the order of their seeds. */
export interface JudgedPrompt {
  readonly kind: HeldOutKind;
  readonly prompt: string;
  readonly samples: readonly JudgedSample[];
}

export interface HeldOutOptions {
  /** Run of mm train-dalle. */
  readonly dalle: string;
  /** Run of mm train-clip. */
  readonly clip: string;
  /** Prompts of each kind. */
  readonly prompts: number;
  /** Samples of each prompt. */
  readonly candidates: number;
  readonly seed: number;
  readonly settings: SampleSettings;
}

/** Images sampled at a time. */
const SAMPLE_BATCH = 64;

/** Samples images for held-out scenes and pairs. None is left out. */
export async function sampleHeldOut(
  { dalle, clip: clipPath, prompts, candidates, seed, settings }: HeldOutOptions,
  { log, progress, signal }: Context,
): Promise<JudgedPrompt[]> {
  const heldOut = HELD_OUT_KINDS.flatMap((kind) =>
    heldOutPrompts(kind, prompts, seed).map((prompt) => ({ kind, ...prompt })),
  );
  const warn = (message: string): void => log.warn(message);
  const runtime = new Runtime();
  try {
    const pipeline = await openPipeline(runtime, await readCheckpoint(dalle, { kind: 'dalle', warn }));
    const clip = await ClipPipeline.open(runtime, await readCheckpoint(clipPath, { kind: 'clip', warn }));
    const requests = heldOut.flatMap(({ prompt }, i) =>
      Array.from({ length: candidates }, (_, k) => ({
        prompt,
        captionTokens: pipeline.encode(prompt).tokens,
        seed: seed + i * candidates + k,
      })),
    );
    progress.start('sampling held-out prompts', requests.length * pipeline.generator.tokens.imageLength);
    const images: GeneratedImage[] = [];
    const generated = pipeline.generate(requests, settings, {
      batch: SAMPLE_BATCH,
      onToken: (done) => progress.update(done),
      signal,
    });
    for await (const image of generated) images.push(image);
    progress.stop();
    const judged: JudgedPrompt[] = [];
    for (const [i, { kind, prompt, scene }] of heldOut.entries()) {
      const own = images.slice(i * candidates, (i + 1) * candidates);
      judged.push({ kind, prompt, samples: await judge(own, prompt, scene, clip) });
    }
    return judged;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped while sampling', {
      code: 'E_INTERRUPTED',
      where: dalle,
      fix: 'run mm demo again: it resumes here',
    });
  } finally {
    await runtime.close();
  }
}

async function judge(
  images: readonly GeneratedImage[],
  prompt: string,
  scene: HeldOutPrompt['scene'],
  clip: ClipPipeline,
): Promise<JudgedSample[]> {
  const scores = await clip.score(prompt, Buffer.concat(images.map(({ pixels }) => pixels)));
  return images.map((image, i) => ({
    ...image,
    measure: measureScene(image.pixels, image.size, scene),
    score: scores[i] as number,
  }));
}

/** The sample with the highest score. */
const best = ({ samples }: JudgedPrompt): JudgedSample =>
  samples.reduce((a, b) => (b.score > a.score ? b : a));

export type HeldOutCounts = Record<HeldOutKind, { samples: number; right: number }>;

function countsOf(judged: readonly JudgedPrompt[], of: (prompt: JudgedPrompt) => readonly JudgedSample[]) {
  const count = (kind: HeldOutKind) => {
    const samples = judged.filter((prompt) => prompt.kind === kind).flatMap(of);
    return { samples: samples.length, right: samples.filter(({ measure }) => measure.isCorrect).length };
  };
  return { scenes: count('scenes'), pairs: count('pairs') };
}

/** Counts over all samples: `heldOut` in result.json. */
export const heldOutCounts = (judged: readonly JudgedPrompt[]): HeldOutCounts =>
  countsOf(judged, ({ samples }) => samples);

/** Counts over the sample that CLIP ranks first for each prompt: `ranked` in result.json. */
export const rankedCounts = (judged: readonly JudgedPrompt[]): HeldOutCounts =>
  countsOf(judged, (prompt) => [best(prompt)]);
