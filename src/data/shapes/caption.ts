// Captions of scenes: lower case, no full stop, several wordings for each kind of scene.

import type { RandomStream } from '../../util/random.ts';
import type { Scene, SceneObject } from './scene.ts';
import type { Place, Relation } from './vocabulary.ts';

const NUMBERS = ['zero', 'one', 'two', 'three', 'four'] as const;

/** The name of an object in held-out lists: "red circle". */
export function objectName({ colour, shape }: Pick<SceneObject, 'colour' | 'shape'>): string {
  return `${colour} ${shape}`;
}

function described(object: SceneObject): string {
  const words = [object.size, object.striped ? 'striped' : undefined, objectName(object)];
  return words.filter((word) => word !== undefined).join(' ');
}

function withArticle(object: SceneObject): string {
  const text = described(object);
  return `${/^[aeiou]/.test(text) ? 'an' : 'a'} ${text}`;
}

function plural(object: SceneObject): string {
  const text = described(object);
  return text.endsWith('s') ? `${text}es` : `${text}s`;
}

/** Words of a relation between A and B: "A … B" and "B with A …". */
const RELATION_WORDS: Readonly<Record<Relation, { between: readonly string[]; after: readonly string[] }>> = {
  left: { between: ['left of', 'to the left of', 'on the left of'], after: ['to its left', 'on its left'] },
  right: {
    between: ['right of', 'to the right of', 'on the right of'],
    after: ['to its right', 'on its right'],
  },
  above: { between: ['above', 'over'], after: ['above it', 'over it'] },
  below: { between: ['below', 'under', 'beneath'], after: ['below it', 'under it'] },
};

/** Captions of two objects in a relation, by which of the two is named first: A, or B "with A above it". */
function relationWordings({ objects, relation }: Scene): Readonly<Record<'between' | 'after', string[]>> {
  const [a, b] = (objects as [SceneObject, SceneObject]).map(withArticle);
  const { between, after } = RELATION_WORDS[relation as Relation];
  return {
    between: between.flatMap((words) => [
      `${a} ${words} ${b}`,
      `there is ${a} ${words} ${b}`,
      `a picture of ${a} ${words} ${b}`,
      `${a} placed ${words} ${b}`,
    ]),
    after: after.flatMap((words) => [`${b} with ${a} ${words}`, `there is ${b} with ${a} ${words}`]),
  };
}

/** Where each object of a relation is, by itself. */
const PLACE_OF: Readonly<Record<Relation, { first: Place; second: Place }>> = {
  left: { first: 'on the left', second: 'on the right' },
  right: { first: 'on the right', second: 'on the left' },
  above: { first: 'at the top', second: 'at the bottom' },
  below: { first: 'at the bottom', second: 'at the top' },
};

/**
 * Captions of two objects in a relation that give a place instead, to both or to one, where the other is opposite: those
 * of training images, not of prompts.
 */
export function placedWordings({ objects, relation }: Scene): {
  readonly both: string[];
  readonly one: string[];
} {
  const [a, b] = objects as [SceneObject, SceneObject];
  const { first, second } = PLACE_OF[relation as Relation];
  const [one, other] = [`${withArticle(a)} ${first}`, `${withArticle(b)} ${second}`];
  return {
    both: [`${one} and ${other}`, `${other} and ${one}`],
    one: [`${one} and ${withArticle(b)}`, `${withArticle(b)} and ${one}`],
  };
}

/** All captions of a scene that prompts have too. */
export function wordings(scene: Scene): string[] {
  const [first, second] = scene.objects as [SceneObject, SceneObject | undefined];
  if (scene.relation !== undefined) return Object.values(relationWordings(scene)).flat();
  if (second !== undefined) {
    const many = `${NUMBERS[scene.objects.length]} ${plural(first)}`;
    return [many, `there are ${many}`, `a picture of ${many}`, `a drawing of ${many}`, `a group of ${many}`];
  }
  const one = withArticle(first);
  if (scene.place === undefined)
    return [one, `there is ${one}`, `a picture of ${one}`, `a drawing of ${one}`, `just ${one}`];
  return [
    `${one} ${scene.place}`,
    `there is ${one} ${scene.place}`,
    `a picture of ${one} ${scene.place}`,
    `${scene.place} there is ${one}`,
    `${one} placed ${scene.place}`,
  ];
}

/** Share of `placedWordings` among the training captions of a relation, and of those for both objects among them. */
const PLACED_SHARE = 0.62;
const BOTH_SHARE = 0.8;
/** Share of "B with A above it" among the others: a third or a quarter of the wordings, and learned last. */
const AFTER_SHARE = 0.5;

/** Picks a caption for a training image. */
export function trainingCaption(scene: Scene, random: RandomStream): string {
  if (scene.relation === undefined) return captionOf(scene, random);
  if (random.uniform() < PLACED_SHARE) {
    const { both, one } = placedWordings(scene);
    return random.choice(random.uniform() < BOTH_SHARE ? both : one);
  }
  const { between, after } = relationWordings(scene);
  return random.choice(random.uniform() < AFTER_SHARE ? after : between);
}

/** Picks one of the captions of a scene. */
export function captionOf(scene: Scene, random: RandomStream): string {
  return random.choice(wordings(scene));
}
