// Samples the scenes of training images; nothing held out appears in them.

import type { RandomStream } from '../../util/random.ts';
import { isHeldOutPairing, SEEN_OBJECTS } from './heldout.ts';
import type { Scene, SceneObject } from './scene.ts';
import { PLACE_NAMES, RELATIONS, type Relation, SIZES, type Size } from './vocabulary.ts';

export type SceneKind = 'single' | 'placed' | 'count' | 'relation';

/** Shares of the kinds of training scenes. */
export const KIND_SHARES: Readonly<Record<SceneKind, number>> = {
  single: 0.22,
  placed: 0.12,
  count: 0.06,
  relation: 0.6,
};

/**
 * Shares of the relations. In captions of equal shares, neither the order in which objects are named nor the word of the
 * relation says by itself which object comes first in the image: only both together do, and a model finds that late and
 * by chance. Where some relations are rare, the order alone says something, and the words are learned as exceptions
 * from it. Held-out prompts have all relations equally often.
 */
export const RELATION_SHARES: Readonly<Record<Relation, number>> = {
  left: 0.375,
  above: 0.375,
  right: 0.125,
  below: 0.125,
};

const STRIPED_SHARE = 0.1;
const SMALL_SHARE = 0.2; // of the objects in a relation; two large objects would not fit

function seenObject(random: RandomStream, size?: Size): SceneObject {
  return { ...random.choice(SEEN_OBJECTS), size, striped: random.uniform() < STRIPED_SHARE };
}

/** A single object with its size, with its place, or a small one with its place; a large object fits in no place. */
function placedScene(random: RandomStream): Scene {
  const place = random.choice(PLACE_NAMES);
  switch (random.integer(5)) {
    case 0:
    case 1:
      return { objects: [seenObject(random, random.choice(SIZES))] };
    case 2:
      return { objects: [seenObject(random, 'small')], place };
    default:
      return { objects: [seenObject(random)], place };
  }
}

function relationOf(random: RandomStream): Relation {
  let share = random.uniform();
  for (const relation of RELATIONS) {
    share -= RELATION_SHARES[relation];
    if (share < 0) return relation;
  }
  return 'below';
}

function relationScene(random: RandomStream): Scene {
  for (;;) {
    const [first, second] = [0, 1].map(() =>
      seenObject(random, random.uniform() < SMALL_SHARE ? 'small' : undefined),
    ) as [SceneObject, SceneObject];
    const same = first.colour === second.colour && first.shape === second.shape;
    if (same || isHeldOutPairing(first, second)) continue;
    return { objects: [first, second], relation: relationOf(random) };
  }
}

/** Samples a training scene. */
export function randomScene(random: RandomStream): Scene {
  let share = random.uniform();
  share -= KIND_SHARES.single;
  if (share < 0) return { objects: [seenObject(random)] };
  share -= KIND_SHARES.placed;
  if (share < 0) return placedScene(random);
  share -= KIND_SHARES.count;
  if (share < 0) return { objects: Array<SceneObject>(2 + random.integer(3)).fill(seenObject(random)) };
  return relationScene(random);
}
