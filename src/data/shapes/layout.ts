// The layout of a scene: a position and a radius for each object, on a canvas of 32 × 32, y pointing down, whatever the
// size of the image. Each kind of scene has its arrangement; positions and sizes vary around it. Without this variety,
// a model memorizes the few images there are (docs/LOG.md).

import type { RandomStream } from '../../util/random.ts';
import { GEOMETRY } from './geometry.ts';
import type { Scene, SceneObject } from './scene.ts';
import { PLACES, type Relation, type Size } from './vocabulary.ts';

export const CANVAS = 32;
const MARGIN = 0.5; // between an object and the edge, at least
const GAP = 1.25; // between two objects, at least
const SHRINK = 0.95; // factor of the radii while objects do not fit
/** Range of the factor of the nominal size. */
const SIZE_VARIETY: readonly [min: number, max: number] = [0.87, 1.05];

export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

type Point = readonly [x: number, y: number];
type Range = readonly [low: number, high: number];
/** Largest shift of an object to either side, in pixels. */
type Jitter = readonly [x: number, y: number];
const [LITTLE, SOME, FREE] = [1, 2, 4];

const MIDDLE = CANVAS / 2;
const NEAR = CANVAS / 4;
const FAR = (3 * CANVAS) / 4;

/** The same in all kinds of scenes, so that a model can reuse what it learns from single objects. */
const RADII: Readonly<Record<Size | 'medium', number>> = { small: 4, medium: 6, large: 10 };

/** Two, three or four equal objects. */
const COUNTS: Readonly<Record<number, readonly Point[]>> = {
  2: [
    [NEAR, MIDDLE],
    [FAR, MIDDLE],
  ],
  3: [
    [MIDDLE, NEAR],
    [NEAR, FAR],
    [FAR, FAR],
  ],
  4: [
    [NEAR, NEAR],
    [FAR, NEAR],
    [NEAR, FAR],
    [FAR, FAR],
  ],
};

/** The positions of the first and the second object of a relation. */
const RELATED: Readonly<Record<Relation, readonly [Point, Point]>> = {
  left: [
    [NEAR, MIDDLE],
    [FAR, MIDDLE],
  ],
  right: [
    [FAR, MIDDLE],
    [NEAR, MIDDLE],
  ],
  above: [
    [MIDDLE, NEAR],
    [MIDDLE, FAR],
  ],
  below: [
    [MIDDLE, FAR],
    [MIDDLE, NEAR],
  ],
};

interface Box {
  readonly left: number;
  readonly right: number;
  readonly up: number;
  readonly down: number;
}

/** Distances from the centre of an object to its sides. */
function reach(object: SceneObject, radius: number): Box {
  const { side, up, down } = GEOMETRY[object.shape].extent;
  return { left: side * radius, right: side * radius, up: up * radius, down: down * radius };
}

/** Ranges of the centre, on x and on y, that keep the object on the canvas. */
function room(box: Box): { x: Range; y: Range } {
  return {
    x: [MARGIN + box.left, CANVAS - MARGIN - box.right],
    y: [MARGIN + box.up, CANVAS - MARGIN - box.down],
  };
}

/** Places the middle of an object at the point, with a random shift, on the canvas. */
function near(
  [x, y]: Point,
  object: SceneObject,
  radius: number,
  [byX, byY]: Jitter,
  random: RandomStream,
): Placement {
  const box = reach(object, radius);
  const space = room(box);
  const shift = (value: number, range: Range, by: number): number =>
    clamp(value + random.integer(2 * by + 1) - by, range);
  return { x: shift(x, space.x, byX), y: shift(y + (box.up - box.down) / 2, space.y, byY), radius };
}

const clamp = (value: number, [low, high]: Range): number => Math.min(high, Math.max(low, value));

function boxesOverlap(a: Placement, boxA: Box, b: Placement, boxB: Box): boolean {
  return (
    a.x - boxA.left < b.x + boxB.right + GAP &&
    b.x - boxB.left < a.x + boxA.right + GAP &&
    a.y - boxA.up < b.y + boxB.down + GAP &&
    b.y - boxB.up < a.y + boxA.down + GAP
  );
}

/** Places an object at each point; objects that would overlap shrink. */
function arrange(
  objects: readonly SceneObject[],
  points: readonly Point[],
  radii: readonly number[],
  jitter: Jitter,
  random: RandomStream,
): Placement[] {
  for (let scale = 1; ; scale *= SHRINK) {
    const placed = objects.map((object, i) => near(points[i]!, object, scale * radii[i]!, jitter, random));
    const boxes = objects.map((object, i) => reach(object, scale * radii[i]!));
    const isApart = placed.every((a, i) =>
      placed.every((b, j) => j <= i || !boxesOverlap(a, boxes[i]!, b, boxes[j]!)),
    );
    if (isApart) return placed;
  }
}

/** Places a single object: in the middle, unless the scene names a place. */
function layoutOne(scene: Scene, object: SceneObject, random: RandomStream): Placement {
  const radius = random.uniform(...SIZE_VARIETY) * RADII[object.size ?? 'medium'];
  if (scene.place === undefined) return near([MIDDLE, MIDDLE], object, radius, [FREE, FREE], random);
  const [column, row] = PLACES[scene.place];
  const steps = [NEAR, MIDDLE, FAR] as const;
  return near([steps[column]!, steps[row]!], object, radius, [SOME, SOME], random);
}

/** Places each object of a scene: on the canvas, without overlap, as the scene says. */
export function layoutScene(scene: Scene, random: RandomStream): Placement[] {
  const { objects, relation } = scene;
  const variety = random.uniform(...SIZE_VARIETY);
  const radii = objects.map(({ size }) => variety * RADII[size ?? 'medium']);
  if (relation !== undefined) {
    const isHorizontal = relation === 'left' || relation === 'right';
    return arrange(objects, RELATED[relation], radii, isHorizontal ? [LITTLE, SOME] : [SOME, LITTLE], random);
  }
  const points = COUNTS[objects.length];
  if (!points) return [layoutOne(scene, objects[0]!, random)];
  return arrange(objects, points, radii, [LITTLE, LITTLE], random);
}
