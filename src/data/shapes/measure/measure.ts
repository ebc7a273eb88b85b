// Judges from the pixels alone, without a trained model, whether an image shows a scene. Strict on purpose: a missing
// or extra object, a wrong colour, shape or side makes the image wrong. Sizes and stripes are not judged.

import type { Scene, SceneObject } from '../scene.ts';
import { PLACES, type Place, type Relation } from '../vocabulary.ts';
import { type FoundObject, identify } from './identify.ts';
import { segment } from './segment.ts';

/** Least distance of the centroids along the axis of a relation, as a share of the side. */
const MIN_DISTANCE = 0.12;
/** Where the outer thirds of the image end, for the places of a single object. */
const OUTER_THIRD = 0.42;

export interface SceneMeasure {
  /** The colours found are exactly those of the scene; likewise the shapes. */
  readonly colour: boolean;
  readonly shape: boolean;
  /** The number of objects is right, and so is their relation or place. */
  readonly place: boolean;
  /** All of these, and each shape has its colour. */
  readonly isCorrect: boolean;
  readonly found: readonly FoundObject[];
}

function sameWords(found: readonly (string | undefined)[], expected: readonly string[]): boolean {
  return [...found].sort().join() === [...expected].sort().join();
}

function agreement(found: FoundObject, expected: SceneObject): number {
  return Number(found.colour === expected.colour) + Number(found.shape === expected.shape);
}

/** The two found objects in the order that agrees best with the expected ones. */
function inOrder(found: readonly FoundObject[], expected: readonly SceneObject[]): readonly FoundObject[] {
  const [a, b] = found as [FoundObject, FoundObject];
  const [first, second] = expected as [SceneObject, SceneObject];
  const straight = agreement(a, first) + agreement(b, second);
  const crossed = agreement(b, first) + agreement(a, second);
  return crossed > straight ? [b, a] : found;
}

function inRelation([a, b]: readonly FoundObject[], relation: Relation): boolean {
  const [dx, dy] = [b!.x - a!.x, b!.y - a!.y];
  const along = { left: dx, right: -dx, above: dy, below: -dy }[relation];
  const across = relation === 'left' || relation === 'right' ? dy : dx;
  return along >= MIN_DISTANCE && along > Math.abs(across);
}

function inPlace({ middle }: FoundObject, place: Place): boolean {
  const third = (share: number): number => (share < OUTER_THIRD ? 0 : share > 1 - OUTER_THIRD ? 2 : 1);
  const [column, row] = PLACES[place];
  return third(middle[0]) === column && third(middle[1]) === row;
}

function inItsPlace(found: readonly FoundObject[], { objects, relation, place }: Scene): boolean {
  if (found.length !== objects.length) return false;
  if (relation !== undefined) return inRelation(inOrder(found, objects), relation);
  return place === undefined || inPlace(found[0]!, place);
}

/**
 * Measures a square RGB image (`size` · `size` · 3 bytes, rows first; 32 to 64 pixels on a side are tested)
 * against the scene it should show.
 */
export function measureScene(pixels: Uint8Array, size: number, expected: Scene): SceneMeasure {
  const image = { pixels, size };
  const { background, segments } = segment(image);
  const found = segments.map((segment) => identify(image, segment, background));
  const colour = sameWords(
    found.map((object) => object.colour),
    expected.objects.map((object) => object.colour),
  );
  const shape = sameWords(
    found.map((object) => object.shape),
    expected.objects.map((object) => object.shape),
  );
  const together = sameWords(
    found.map((object) => `${object.colour} ${object.shape}`),
    expected.objects.map((object) => `${object.colour} ${object.shape}`),
  );
  const place = inItsPlace(found, expected);
  return { colour, shape, place, isCorrect: together && place, found };
}
