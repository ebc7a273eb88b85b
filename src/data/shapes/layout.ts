// Where the objects of a scene go. Coordinates are in a canvas of 32 × 32, y pointing down, whatever the size of the
// picture. Each kind of scene has its arrangement, from which every object strays a little.

import type { RandomStream } from '../../util/random.ts';
import { GEOMETRY } from './geometry.ts';
import type { Scene, SceneObject } from './scene.ts';
import { PLACES, type Relation, type Size } from './vocabulary.ts';

export const CANVAS = 32;
const MARGIN = 1; // between an object and the edge
const GAP = 2; // between two objects, at least
const SHRINK = 0.95; // when objects do not fit
const ATTEMPTS = 20;
const STRAY: readonly number[] = [-2, 0, 2];

export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

type Point = readonly [x: number, y: number];
type Range = readonly [low: number, high: number];

const MIDDLE = CANVAS / 2;
const NEAR = CANVAS / 4;
const FAR = (3 * CANVAS) / 4;

const RADII: Readonly<Record<'one' | 'two', Record<Size | 'medium', readonly number[]>>> = {
  one: { small: [5], medium: [7, 8, 9], large: [11] },
  two: { small: [4], medium: [5, 6], large: [7] },
};

const COUNTS: Readonly<
  Record<number, { readonly radii: readonly number[]; readonly points: readonly Point[] }>
> = {
  2: {
    radii: [5, 6],
    points: [
      [NEAR, MIDDLE],
      [FAR, MIDDLE],
    ],
  },
  3: {
    radii: [5],
    points: [
      [MIDDLE, NEAR],
      [NEAR, FAR],
      [FAR, FAR],
    ],
  },
  4: {
    radii: [4, 5],
    points: [
      [NEAR, NEAR],
      [FAR, NEAR],
      [NEAR, FAR],
      [FAR, FAR],
    ],
  },
};

/** Where the first and the second object of a relation stand. */
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

/** How far the object reaches from its centre to each side. */
function reach(object: SceneObject, radius: number): Box {
  const { side, up, down } = GEOMETRY[object.shape].extent;
  return { left: side * radius, right: side * radius, up: up * radius, down: down * radius };
}

/** Where a centre may be on the x axis, and on the y axis, for the object to stay on the canvas. */
function room(box: Box): { x: Range; y: Range } {
  return {
    x: [MARGIN + box.left, CANVAS - MARGIN - box.right],
    y: [MARGIN + box.up, CANVAS - MARGIN - box.down],
  };
}

const clamp = (value: number, [low, high]: Range): number => Math.min(high, Math.max(low, value));

/** The object near the point, on the canvas. */
function near([x, y]: Point, object: SceneObject, radius: number, random: RandomStream): Placement {
  const space = room(reach(object, radius));
  return { x: clamp(x + random.choice(STRAY), space.x), y: clamp(y + random.choice(STRAY), space.y), radius };
}

function overlap(a: Placement, boxA: Box, b: Placement, boxB: Box): boolean {
  return (
    a.x - boxA.left < b.x + boxB.right + GAP &&
    b.x - boxB.left < a.x + boxA.right + GAP &&
    a.y - boxA.up < b.y + boxB.down + GAP &&
    b.y - boxB.up < a.y + boxA.down + GAP
  );
}

/** One object for each point, strayed until all are apart; objects too large for that shrink. */
function arrange(
  objects: readonly SceneObject[],
  points: readonly Point[],
  radii: readonly number[],
  random: RandomStream,
): Placement[] {
  for (let scale = 1; ; scale *= SHRINK) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const placed = objects.map((object, i) => near(points[i]!, object, scale * radii[i]!, random));
      const boxes = objects.map((object, i) => reach(object, scale * radii[i]!));
      const isApart = placed.every((a, i) =>
        placed.every((b, j) => j <= i || !overlap(a, boxes[i]!, b, boxes[j]!)),
      );
      if (isApart) return placed;
    }
  }
}

/** Near the middle unless the scene names a place: then at the start, in the middle or at the end of each axis. */
function layoutOne(scene: Scene, object: SceneObject, random: RandomStream): Placement {
  const radius = random.choice(RADII.one[object.size ?? 'medium']);
  if (scene.place === undefined) return near([MIDDLE, MIDDLE], object, radius, random);
  const [column, row] = PLACES[scene.place];
  const { x, y } = room(reach(object, radius));
  const along = ([low, high]: Range, index: number): number => [low, (low + high) / 2, high][index] as number;
  return { x: along(x, column), y: along(y, row), radius };
}

/** One placement for each object: inside the canvas, apart, and as the scene says. */
export function layoutScene(scene: Scene, random: RandomStream): Placement[] {
  const { objects, relation } = scene;
  if (relation !== undefined) {
    const radii = objects.map(({ size }) => random.choice(RADII.two[size ?? 'medium']));
    return arrange(objects, RELATED[relation], radii, random);
  }
  const count = COUNTS[objects.length];
  if (!count) return [layoutOne(scene, objects[0]!, random)];
  const radius = random.choice(count.radii);
  return arrange(
    objects,
    count.points,
    objects.map(() => radius),
    random,
  );
}
