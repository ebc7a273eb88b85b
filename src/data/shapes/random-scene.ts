// Samples the scenes of training images; nothing held out appears in them.

import type { RandomStream } from '../../util/random.ts';
import { isHeldOutPairing, SEEN_OBJECTS } from './heldout.ts';
import type { Scene, SceneObject } from './scene.ts';
import { PLACE_NAMES, type Relation, SIZES, type Size } from './vocabulary.ts';

export type SceneKind = 'single' | 'placed' | 'count' | 'relation';

/** Shares of the kinds of training scenes. */
export const KIND_SHARES: Readonly<Record<SceneKind, number>> = {
  single: 0.16,
  placed: 0.08,
  count: 0.04,
  relation: 0.72,
};

/** Share of left and right among the relations: side by side takes longer to learn than one above the other. */
const HORIZONTAL_SHARE = 0.6;

const HORIZONTAL: readonly Relation[] = ['left', 'right'];
const VERTICAL: readonly Relation[] = ['above', 'below'];
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

function relationScene(random: RandomStream): Scene {
  for (;;) {
    const [first, second] = [0, 1].map(() =>
      seenObject(random, random.uniform() < SMALL_SHARE ? 'small' : undefined),
    ) as [SceneObject, SceneObject];
    const same = first.colour === second.colour && first.shape === second.shape;
    if (same || isHeldOutPairing(first, second)) continue;
    const relations = random.uniform() < HORIZONTAL_SHARE ? HORIZONTAL : VERTICAL;
    return { objects: [first, second], relation: random.choice(relations) };
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
