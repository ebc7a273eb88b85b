// Distributions of sizes and lengths.

export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** How many values lie in a range, in words: "64 to 127". */
export interface Bin {
  readonly range: string;
  readonly count: number;
}

/** Values by how often they occur: memory is that of the different ones. */
export class Histogram {
  readonly #counts = new Map<number, number>();
  total = 0;

  add(value: number): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
    this.total++;
  }

  get range(): Range | undefined {
    const sorted = [...this.#counts].sort(([a], [b]) => a - b);
    let before = 0;
    for (const [value, count] of sorted) {
      before += count;
      if (before > Math.floor(this.total / 2))
        return { min: sorted[0]?.[0] as number, median: value, max: sorted.at(-1)?.[0] as number };
    }
    return undefined;
  }

  /** How many values are below `limit`. */
  below(limit: number): number {
    let sum = 0;
    for (const [value, count] of this.#counts) if (value < limit) sum += count;
    return sum;
  }

  /**
   * Values between ascending edges: below the first, from each edge to before the next, from the last. Empty ends are
   * left out.
   */
  bins(edges: readonly number[]): Bin[] {
    const counts = new Array<number>(edges.length + 1).fill(0);
    for (const [value, count] of this.#counts) {
      const bin = binOf(value, edges);
      counts[bin] = (counts[bin] as number) + count;
    }
    return named(counts, edges);
  }
}

function binOf(value: number, edges: readonly number[]): number {
  const bin = edges.findIndex((edge) => value < edge);
  return bin < 0 ? edges.length : bin;
}

function named(counts: readonly number[], edges: readonly number[]): Bin[] {
  const bins = counts.map((count, i) => ({ range: rangeName(edges, i), count }));
  const first = bins.findIndex(({ count }) => count > 0);
  return bins.slice(Math.max(0, first), bins.findLastIndex(({ count }) => count > 0) + 1);
}

function rangeName(edges: readonly number[], bin: number): string {
  const [from, to] = [edges[bin - 1], edges[bin]];
  if (from === undefined) return `below ${to}`;
  return to === undefined ? `${from} or more` : `${from} to ${to - 1}`;
}
