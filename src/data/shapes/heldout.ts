// Objects and pairings that training images never show, chosen by rule, and prompts for them.

import { RandomStream } from '../../util/random.ts';
import { hashFraction } from '../split.ts';
import { captionOf, objectName } from './caption.ts';
import type { Scene } from './scene.ts';
import { COLOUR_NAMES, type Colour, RELATIONS, SHAPES, type Shape } from './vocabulary.ts';

export interface NamedObject {
  readonly colour: Colour;
  readonly shape: Shape;
}

export const HELD_OUT_RULES = {
  pairs:
    'for each shape in turn, the colour, not taken yet, whose SHA-256 of "pair COLOUR SHAPE" is smallest: never in a training image',
  scenes:
    'of the pairings of two seen objects, the tenth whose SHA-256 of "scene COLOUR SHAPE, COLOUR SHAPE", the two in alphabetical order, is smallest: never together in a training image',
} as const;

const HELD_OUT_PAIRING_SHARE = 0.1;

function chooseHeldOutPairs(): NamedObject[] {
  const free = new Set(COLOUR_NAMES);
  return SHAPES.map((shape) => {
    const hash = (colour: Colour): number => hashFraction(`pair ${colour} ${shape}`);
    const colour = [...free].reduce((best, other) => (hash(other) < hash(best) ? other : best));
    free.delete(colour);
    return { colour, shape };
  });
}

/** Six of the 48 (colour, shape): one of each shape, in six colours. */
export const HELD_OUT_PAIRS: readonly NamedObject[] = chooseHeldOutPairs();

export function isHeldOutPair({ colour, shape }: NamedObject): boolean {
  return HELD_OUT_PAIRS.some((pair) => pair.colour === colour && pair.shape === shape);
}

/** The 42 (colour, shape) that training images show. */
export const SEEN_OBJECTS: readonly NamedObject[] = SHAPES.flatMap((shape) =>
  COLOUR_NAMES.map((colour) => ({ colour, shape })),
).filter((object) => !isHeldOutPair(object));

function pairingKey(a: NamedObject, b: NamedObject): string {
  return [objectName(a), objectName(b)].sort().join(', ');
}

function chooseHeldOutPairings(): (readonly [NamedObject, NamedObject])[] {
  const all = SEEN_OBJECTS.flatMap((a, i) => SEEN_OBJECTS.slice(i + 1).map((b) => [a, b] as const));
  const hashed = all.map(([a, b]) => ({
    pairing: [a, b] as const,
    hash: hashFraction(`scene ${pairingKey(a, b)}`),
  }));
  hashed.sort((p, q) => p.hash - q.hash);
  return hashed.slice(0, Math.round(HELD_OUT_PAIRING_SHARE * all.length)).map(({ pairing }) => pairing);
}

/** A tenth of the 861 unordered pairings of two different objects of training images. */
export const HELD_OUT_PAIRINGS: readonly (readonly [NamedObject, NamedObject])[] = chooseHeldOutPairings();

const heldOutPairingKeys = new Set(HELD_OUT_PAIRINGS.map(([a, b]) => pairingKey(a, b)));

export function isHeldOutPairing(a: NamedObject, b: NamedObject): boolean {
  return heldOutPairingKeys.has(pairingKey(a, b));
}

export interface HeldOutPrompt {
  readonly prompt: string;
  readonly scene: Scene;
}

function relate(a: NamedObject, b: NamedObject, random: RandomStream): Scene {
  return { objects: random.shuffle([a, b]), relation: random.choice(RELATIONS) };
}

/**
 * Samples `count` held-out prompts, each with its scene.
 * `scenes`: the two objects of a held-out pairing, in a relation. `pairs`: alternately a held-out (colour, shape) alone
 * and in a relation with an object of training images. All pairings and all pairs occur equally often.
 */
export function heldOutPrompts(kind: 'scenes' | 'pairs', count: number, seed: number): HeldOutPrompt[] {
  const random = new RandomStream(seed, 'held-out prompts', kind);
  const pairings = random.shuffle([...HELD_OUT_PAIRINGS]);
  const pairs = random.shuffle([...HELD_OUT_PAIRS]);
  return Array.from({ length: count }, (_, i): HeldOutPrompt => {
    if (kind === 'scenes') {
      const [a, b] = pairings[i % pairings.length]!;
      const scene = relate(a, b, random);
      return { prompt: captionOf(scene, random), scene };
    }
    const pair = pairs[Math.floor(i / 2) % pairs.length]!;
    const alone = i % 2 === 0;
    const scene = alone ? { objects: [pair] } : relate(pair, random.choice(SEEN_OBJECTS), random);
    return { prompt: captionOf(scene, random), scene };
  });
}

/** The contents of `heldout.json` beside a data set. */
export function heldOutDescription(): unknown {
  return {
    pairs: { rule: HELD_OUT_RULES.pairs, list: HELD_OUT_PAIRS.map(objectName) },
    scenes: {
      rule: HELD_OUT_RULES.scenes,
      list: HELD_OUT_PAIRINGS.map(([a, b]) => [objectName(a), objectName(b)]),
    },
  };
}
