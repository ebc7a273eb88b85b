// Where the objects of a scene go, at random. Coordinates are in a canvas of 32 × 32, y pointing down,
// whatever the size of the picture.

import type { RandomStream } from '../../util/random.ts';
import { GEOMETRY } from './geometry.ts';
import type { Scene, SceneObject } from './scene.ts';
import { PLACES, type Size } from './vocabulary.ts';

export const CANVAS = 32;
const MARGIN = 1; // between an object and the edge
const GAP = 2; // between two objects
const SHRINK = 0.95; // when objects do not fit
const LEAN = 0.4; // how far a relation may be off its axis, as a share of the distance along it

export interface Placement {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

type Range = readonly [low: number, high: number];

const RADII: Readonly<Record<'one' | 'two', Record<Size | 'medium', Range>>> = {
  one: { small: [4.5, 5.5], medium: [7, 9], large: [10, 12] },
  two: { small: [4, 4.5], medium: [5, 6.5], large: [6.5, 7.5] },
};
const COUNT_RADII: Readonly<Record<number, Range>> = { 2: [5, 6.5], 3: [4.4, 5.6], 4: [4, 5] };

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

function within(random: RandomStream, [low, high]: Range): number {
  return random.uniform(low, high);
}

/** Where a centre may be on the x axis, and on the y axis, for the object to stay on the canvas. */
function room(box: Box): { x: Range; y: Range } {
  return {
    x: [MARGIN + box.left, CANVAS - MARGIN - box.right],
    y: [MARGIN + box.up, CANVAS - MARGIN - box.down],
  };
}

/** The start, the middle or the end of the range, well apart. */
function third([low, high]: Range, index: number): Range {
  const length = high - low;
  if (index === 0) return [low, low + 0.2 * length];
  if (index === 2) return [high - 0.2 * length, high];
  return [low + 0.42 * length, low + 0.58 * length];
}

function layoutOne(scene: Scene, object: SceneObject, random: RandomStream): Placement {
  const radius = within(random, RADII.one[object.size ?? 'medium']);
  const { x, y } = room(reach(object, radius));
  if (scene.place === undefined) return { x: within(random, x), y: within(random, y), radius };
  const [column, row] = PLACES[scene.place];
  return { x: within(random, third(x, column)), y: within(random, third(y, row)), radius };
}

function overlap(a: Placement, boxA: Box, b: Placement, boxB: Box): boolean {
  return (
    a.x - boxA.left < b.x + boxB.right + GAP &&
    b.x - boxB.left < a.x + boxA.right + GAP &&
    a.y - boxA.up < b.y + boxB.down + GAP &&
    b.y - boxB.up < a.y + boxA.down + GAP
  );
}

/** Equal objects of nearly equal radii anywhere, apart from each other. */
function layoutCount(object: SceneObject, count: number, random: RandomStream): Placement[] {
  let base = within(random, COUNT_RADII[count] ?? RADII.two.small);
  for (;;) {
    const placed: Placement[] = [];
    for (let attempt = 0; attempt < 100 && placed.length < count; attempt++) {
      const radius = base * random.uniform(0.95, 1.05);
      const box = reach(object, radius);
      const { x, y } = room(box);
      const here = { x: within(random, x), y: within(random, y), radius };
      if (!placed.some((other) => overlap(here, box, other, reach(object, other.radius)))) placed.push(here);
    }
    if (placed.length === count) return placed;
    base *= SHRINK;
  }
}

/** One of two objects in a relation, along its axis and across it. */
interface Span {
  readonly radius: number;
  readonly before: number;
  readonly after: number;
  readonly across: Range;
}

function span(object: SceneObject, radius: number, horizontal: boolean): Span {
  const box = reach(object, radius);
  const { x, y } = room(box);
  return horizontal
    ? { radius, before: box.left, after: box.right, across: y }
    : { radius, before: box.up, after: box.down, across: x };
}

/** Both spans, and what is left of the axis beside them; radii shrink until they fit. */
function fit(objects: readonly SceneObject[], horizontal: boolean, random: RandomStream) {
  const radii = objects.map((object) => within(random, RADII.two[object.size ?? 'medium']));
  for (let scale = 1; ; scale *= SHRINK) {
    const [lead, trail] = objects.map((object, i) => span(object, scale * radii[i]!, horizontal)) as [
      Span,
      Span,
    ];
    const slack = CANVAS - 2 * MARGIN - GAP - lead.before - lead.after - trail.before - trail.after;
    if (slack >= 0) return { lead, trail, slack };
  }
}

/** Two objects along the axis of the relation; the slack is shared at random before, between and behind them. */
function layoutRelation(scene: Scene, random: RandomStream): Placement[] {
  const horizontal = scene.relation === 'left' || scene.relation === 'right';
  const firstLeads = scene.relation === 'left' || scene.relation === 'above';
  const objects = firstLeads ? scene.objects : [...scene.objects].reverse();
  const { lead, trail, slack } = fit(objects, horizontal, random);

  const before = random.uniform(0, slack);
  const between = random.uniform(0, slack - before);
  const leadAlong = MARGIN + before + lead.before;
  const trailAlong = leadAlong + lead.after + GAP + between + trail.before;
  const lean = LEAN * (trailAlong - leadAlong);
  const leadAcross = within(random, lead.across);
  const trailAcross = clamp(leadAcross + random.uniform(-lean, lean), trail.across);

  const place = ({ radius }: Span, along: number, across: number): Placement =>
    horizontal ? { x: along, y: across, radius } : { x: across, y: along, radius };
  const placements = [place(lead, leadAlong, leadAcross), place(trail, trailAlong, trailAcross)];
  return firstLeads ? placements : placements.reverse();
}

function clamp(value: number, [low, high]: Range): number {
  return Math.min(high, Math.max(low, value));
}

/** One placement for each object: inside the canvas, apart, and as the scene says. */
export function layoutScene(scene: Scene, random: RandomStream): Placement[] {
  const first = scene.objects[0]!;
  if (scene.relation !== undefined) return layoutRelation(scene, random);
  if (scene.objects.length === 1) return [layoutOne(scene, first, random)];
  return layoutCount(first, scene.objects.length, random);
}
