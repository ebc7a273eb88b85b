// Sizes of images, and those of unusual size.

import type { ImageInfo } from '../decode.ts';
import { type Bin, Histogram, type Range } from './distribution.ts';
import type { Listed } from './lists.ts';

/** Edges of the bins of shorter sides, in pixels. */
const SIDES = [32, 64, 128, 256, 512, 1024, 2048];
/** Ranges of width over height, by how much of an image a central square leaves out. */
const ASPECTS: readonly (readonly [range: string, to: number])[] = [
  ['taller than 2:1', 1 / 2],
  ['2:1 to 4:3, upright', 3 / 4],
  ['nearly square', 4 / 3],
  ['4:3 to 2:1, wide', 2],
  ['wider than 2:1', Number.POSITIVE_INFINITY],
];
/** Sides of an image beyond this ratio are extreme: a square of it has less than half. */
const EXTREME_ASPECT = 2;
/** Images of unusual size that are kept. */
const MAX_KEPT = 18;

export interface SizeReport {
  readonly formats: Readonly<Record<string, number>>;
  /** Pixels of the usable images, upright. */
  readonly width: Range | undefined;
  readonly height: Range | undefined;
  /** Usable images by their shorter side in pixels. */
  readonly sides: readonly Bin[];
  /** Width over height of the usable images. */
  readonly aspect: Range | undefined;
  readonly aspects: readonly Bin[];
}

export class Sizes<T> {
  readonly #formats = new Map<string, number>();
  readonly #width = new Histogram();
  readonly #height = new Histogram();
  readonly #side = new Histogram();
  readonly #aspect = new Histogram();
  readonly #aspects = ASPECTS.map(() => 0);
  readonly #extremes = new Largest<T>();
  readonly #smallest = new Largest<T>();
  #extreme = 0;

  add({ format, width, height }: ImageInfo, image: T): void {
    const aspect = width / height;
    const side = Math.min(width, height);
    this.#formats.set(format, (this.#formats.get(format) ?? 0) + 1);
    this.#width.add(width);
    this.#height.add(height);
    this.#side.add(side);
    this.#aspect.add(Number(aspect.toFixed(3)));
    const bin = ASPECTS.findIndex(([, to]) => aspect < to);
    this.#aspects[bin] = (this.#aspects[bin] as number) + 1;
    const extreme = Math.max(aspect, 1 / aspect);
    if (extreme > EXTREME_ASPECT) {
      this.#extreme++;
      this.#extremes.add(extreme, image);
    }
    this.#smallest.add(-side, image);
  }

  get report(): SizeReport {
    return {
      formats: Object.fromEntries([...this.#formats].sort(([a, m], [b, n]) => n - m || a.localeCompare(b))),
      width: this.#width.range,
      height: this.#height.range,
      sides: this.#side.bins(SIDES),
      aspect: this.#aspect.range,
      aspects: ASPECTS.map(([range], i) => ({ range, count: this.#aspects[i] as number })),
    };
  }

  /** Images of extreme proportions, the most extreme first. */
  get extremes(): Listed<T> {
    return { count: this.#extreme, first: this.#extremes.kept.map(({ image }) => image) };
  }

  /** Images of less than half the median side, the smallest first: where all have about one size, none is small. */
  get small(): Listed<T> {
    const limit = (this.#side.range?.median ?? 0) / 2;
    const kept = this.#smallest.kept.filter(({ value }) => -value < limit);
    return { count: this.#side.below(limit), first: kept.map(({ image }) => image) };
  }
}

/** The images with the largest values, the largest first; of equal ones the earlier. */
class Largest<T> {
  readonly kept: { readonly value: number; readonly image: T }[] = [];

  add(value: number, image: T): void {
    const at = this.kept.findLastIndex((other) => other.value >= value) + 1;
    if (at === MAX_KEPT) return;
    this.kept.splice(at, 0, { value, image });
    this.kept.length = Math.min(this.kept.length, MAX_KEPT);
  }
}
