// What a CLIP trained on the shapes can tell: colours and shapes by name, and right images from almost right ones.

import { heldOutPrompts } from '../../src/data/shapes/heldout.ts';
import { renderScenes } from '../../src/data/shapes/render.ts';
import type { Scene, SceneObject } from '../../src/data/shapes/scene.ts';
import { COLOUR_NAMES, RELATIONS, type Relation, SHAPES } from '../../src/data/shapes/vocabulary.ts';
import { makeClassifier, predict } from '../../src/inference/clip/classifier.ts';
import type { ClipPipeline } from '../../src/inference/clip/pipeline.ts';
import { RandomStream } from '../../src/util/random.ts';

export interface ShapesFigures {
  /** Zero-shot accuracy on single objects, held-out pairs of colour and shape among them. */
  readonly colour: number;
  readonly shape: number;
  /** Held-out prompts with eight images each, half of them wrong: share of wrong ones among all, and among the best. */
  readonly wrong: number;
  readonly wrongRanked: number;
  /** Share of the wrong images of each kind that come before every right one. */
  readonly mistakes: Readonly<Record<Mistake, number>>;
}

/** How an image differs from what its prompt asks for. */
export const MISTAKES = ['colour', 'shape', 'relation', 'swapped'] as const;
export type Mistake = (typeof MISTAKES)[number];

/** Images for each prompt in a ranking. */
const SAMPLES = 8;

const OPPOSITE: Readonly<Record<Relation, Relation>> = {
  left: 'right',
  right: 'left',
  above: 'below',
  below: 'above',
};

/** The scene with one thing wrong; undefined where it cannot have this mistake. */
export function spoil(scene: Scene, mistake: Mistake, random: RandomStream): Scene | undefined {
  const change = (change: (object: SceneObject) => SceneObject): Scene => {
    const at = random.integer(scene.objects.length);
    return { ...scene, objects: scene.objects.map((object, i) => (i === at ? change(object) : object)) };
  };
  const other = <T>(all: readonly T[], than: T): T => random.choice(all.filter((each) => each !== than));
  switch (mistake) {
    case 'colour':
      return change((object) => ({ ...object, colour: other(COLOUR_NAMES, object.colour) }));
    case 'shape':
      return change((object) => ({ ...object, shape: other(SHAPES, object.shape) }));
    case 'relation':
      return scene.relation && { ...scene, relation: other(RELATIONS, scene.relation) };
    case 'swapped':
      return scene.relation && { ...scene, relation: OPPOSITE[scene.relation] };
    default:
      return mistake satisfies never;
  }
}

/** @param count of images to classify, and of prompts to rank for, half of them scenes and half pairs */
export async function measureOnShapes(
  clip: ClipPipeline,
  count: number,
  seed: number,
): Promise<ShapesFigures> {
  return { ...(await classify(clip, count, seed)), ...(await rankSpoilt(clip, count, seed)) };
}

async function classify(
  clip: ClipPipeline,
  count: number,
  seed: number,
): Promise<Pick<ShapesFigures, 'colour' | 'shape'>> {
  const { image, embedding } = clip.config;
  const random = new RandomStream(seed, 'shapes to classify');
  const objects = Array.from({ length: count }, () => ({
    colour: random.choice(COLOUR_NAMES),
    shape: random.choice(SHAPES),
  }));
  const drawings = objects.map((object, i) => ({ scene: { objects: [object] }, key: [seed, 'classify', i] }));
  const features = await clip.encodeImages(Buffer.concat(await renderScenes(drawings, image.size)));
  // Captions name a colour with a shape: a colour's text is the mean of those with every shape, and the other way
  // round.
  const colours = await makeClassifier(
    clip,
    COLOUR_NAMES,
    SHAPES.map((shape) => `a {label} ${shape}`),
    'colours',
  );
  const shapes = await makeClassifier(
    clip,
    SHAPES,
    COLOUR_NAMES.map((colour) => `a ${colour} {label}`),
    'shapes',
  );
  const share = (isRight: (feature: Float32Array, i: number) => boolean): number =>
    objects.filter((_, i) => isRight(features.subarray(i * embedding, (i + 1) * embedding), i)).length /
    count;
  return {
    colour: share((feature, i) => predict(colours, feature, clip.logits)[0]?.label === objects[i]?.colour),
    shape: share((feature, i) => predict(shapes, feature, clip.logits)[0]?.label === objects[i]?.shape),
  };
}

async function rankSpoilt(
  clip: ClipPipeline,
  count: number,
  seed: number,
): Promise<Pick<ShapesFigures, 'wrong' | 'wrongRanked' | 'mistakes'>> {
  const { size } = clip.config.image;
  const random = new RandomStream(seed, 'shapes to rank');
  const prompts = (['scenes', 'pairs'] as const).flatMap((kind) =>
    heldOutPrompts(kind, Math.ceil(count / 2), seed),
  );
  const seen = Object.fromEntries(MISTAKES.map((mistake) => [mistake, { all: 0, before: 0 }])) as Record<
    Mistake,
    { all: number; before: number }
  >;
  let wrong = 0;
  let wrongRanked = 0;
  for (const [p, { prompt, scene }] of prompts.entries()) {
    const samples = Array.from({ length: SAMPLES }, (_, i) => {
      const possible = MISTAKES.flatMap((mistake) => {
        const spoilt = spoil(scene, mistake, random);
        return spoilt ? [{ mistake, spoilt }] : [];
      });
      const { mistake, spoilt } = random.choice(possible);
      return i < SAMPLES / 2 ? { scene, mistake: undefined } : { scene: spoilt, mistake };
    });
    const drawings = samples.map((sample, i) => ({ scene: sample.scene, key: [seed, 'rank', p, i] }));
    const scores = await clip.score(prompt, Buffer.concat(await renderScenes(drawings, size)));
    const bestRight = Math.max(...scores.filter((_, i) => samples[i]?.mistake === undefined));
    for (const [i, { mistake }] of samples.entries()) {
      if (!mistake) continue;
      seen[mistake].all++;
      wrong++;
      if ((scores[i] as number) > bestRight) seen[mistake].before++;
    }
    if (Math.max(...scores) > bestRight) wrongRanked++;
  }
  const mistakes = Object.fromEntries(
    MISTAKES.map((mistake) => [mistake, seen[mistake].before / Math.max(1, seen[mistake].all)]),
  ) as Record<Mistake, number>;
  return { wrong: wrong / (prompts.length * SAMPLES), wrongRanked: wrongRanked / prompts.length, mistakes };
}
