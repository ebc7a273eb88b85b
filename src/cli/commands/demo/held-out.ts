// Samples for prompts that nobody trained on, each judged from its pixels, and ranked by the demo's CLIP.

import { readCheckpoint } from '../../../checkpoint/read.ts';
import { type HeldOutPrompt, heldOutPrompts } from '../../../data/shapes/heldout.ts';
import { measureScene, type SceneMeasure } from '../../../data/shapes/measure/measure.ts';
import { Runtime } from '../../../engine/session/runtime.ts';
import { ClipModel } from '../../../inference/clip/clip.ts';
import { DallePipeline, type GeneratedImage } from '../../../inference/dalle/pipeline.ts';
import type { SampleSettings } from '../../../inference/dalle/sampler.ts';
import { InterruptedError } from '../../../util/errors.ts';
import type { Context } from '../../command.ts';

export const HELD_OUT_KINDS = ['scenes', 'pairs'] as const;
export type HeldOutKind = (typeof HELD_OUT_KINDS)[number];

export interface JudgedSample extends GeneratedImage {
  readonly measure: SceneMeasure;
  /** Cosine of prompt and image in CLIP's space. */
  readonly score: number;
}

/** A prompt and all of its samples, in the order they were drawn. */
export interface JudgedPrompt {
  readonly kind: HeldOutKind;
  readonly prompt: string;
  readonly samples: readonly JudgedSample[];
}

export interface HeldOutOptions {
  /** Of mm train-dalle. */
  readonly dalle: string;
  /** Of mm train-clip. */
  readonly clip: string;
  /** Prompts of each kind. */
  readonly prompts: number;
  /** Samples of each prompt. */
  readonly candidates: number;
  readonly seed: number;
  readonly settings: SampleSettings;
}

/** Images drawn at a time. */
const BATCH = 64;

/** Samples of held-out scenes and of held-out pairs. None is left out; each carries CLIP's score. */
export async function sampleHeldOut(
  { dalle, clip: clipPath, prompts, candidates, seed, settings }: HeldOutOptions,
  { log, progress, signal }: Context,
): Promise<JudgedPrompt[]> {
  const asked = HELD_OUT_KINDS.flatMap((kind) =>
    heldOutPrompts(kind, prompts, seed).map((prompt) => ({ kind, ...prompt })),
  );
  const warn = (message: string): void => log.warn(message);
  const runtime = new Runtime();
  try {
    const pipeline = await DallePipeline.open(runtime, await readCheckpoint(dalle, { kind: 'dalle', warn }));
    const clip = await ClipModel.open(runtime, await readCheckpoint(clipPath, { kind: 'clip', warn }));
    const requests = asked.flatMap(({ prompt }, i) =>
      Array.from({ length: candidates }, (_, k) => ({
        prompt,
        captionTokens: pipeline.encode(prompt, false),
        seed: seed + i * candidates + k,
      })),
    );
    progress.start('sampling held-out prompts', requests.length * pipeline.codec.grid ** 2);
    const images: GeneratedImage[] = [];
    const drawn = pipeline.generate(requests, settings, {
      batch: BATCH,
      onToken: (done) => progress.update(done),
      signal,
    });
    for await (const image of drawn) images.push(image);
    progress.stop();
    const judged: JudgedPrompt[] = [];
    for (const [i, { kind, prompt, scene }] of asked.entries()) {
      const own = images.slice(i * candidates, (i + 1) * candidates);
      judged.push({ kind, prompt, samples: await judge(own, prompt, scene, clip) });
    }
    return judged;
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    throw new InterruptedError('stopped while sampling', {
      where: dalle,
      fix: 'mm demo goes on from here',
    });
  } finally {
    await runtime.close();
  }
}

async function judge(
  images: readonly GeneratedImage[],
  prompt: string,
  scene: HeldOutPrompt['scene'],
  clip: ClipModel,
): Promise<JudgedSample[]> {
  const scores = await clip.score(prompt, Buffer.concat(images.map(({ pixels }) => pixels)));
  return images.map((image, i) => ({
    ...image,
    measure: measureScene(image.pixels, image.size, scene),
    score: scores[i] as number,
  }));
}

/** The sample that CLIP puts first. */
export const best = ({ samples }: JudgedPrompt): JudgedSample =>
  samples.reduce((a, b) => (b.score > a.score ? b : a));

export type HeldOutFigures = Record<HeldOutKind, { samples: number; right: number }>;

function figures(judged: readonly JudgedPrompt[], of: (prompt: JudgedPrompt) => readonly JudgedSample[]) {
  const count = (kind: HeldOutKind) => {
    const samples = judged.filter((prompt) => prompt.kind === kind).flatMap(of);
    return { samples: samples.length, right: samples.filter(({ measure }) => measure.isCorrect).length };
  };
  return { scenes: count('scenes'), pairs: count('pairs') };
}

/** Of all samples: what result.json calls heldOut. */
export const heldOutFigures = (judged: readonly JudgedPrompt[]): HeldOutFigures =>
  figures(judged, ({ samples }) => samples);

/** Of the one that CLIP puts first for each prompt: what result.json calls ranked. */
export const rankedFigures = (judged: readonly JudgedPrompt[]): HeldOutFigures =>
  figures(judged, (prompt) => [best(prompt)]);
