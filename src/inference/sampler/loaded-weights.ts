// The weights of a generator: being loaded, there, or given back.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import type { Weights } from '../../nn/weights.ts';

type Load = (onSet: (set: Iterable<Variable>) => void) => Promise<void>;

/** Begins to load the weights of a checkpoint. */
export const loadedWeights = (weights: Weights, checkpoint: Checkpoint): LoadedWeights =>
  new LoadedWeights(weights.variables, (onSet) =>
    weights.loadEach(checkpoint.tensors(checkpoint.bestPart, weights.fileOptions), { onSet }),
  );

/** Weights that are set one after the other, can be given back, and are loaded again where they are needed. */
export class LoadedWeights {
  readonly #all: readonly Variable[];
  readonly #load: Load;
  readonly #missing = new Set<Variable>();
  /** The last pass over the weights, and whether it has ended. */
  #pass: Promise<void>;
  #hasEnded = false;
  /** Called when more weights are set. */
  #onMore: (() => void)[] = [];

  /**
   * Begins to load them.
   * @param load sets them, and calls `onSet` with those that are; fails where any of them may be wrong
   */
  constructor(all: readonly Variable[], load: Load) {
    this.#all = all;
    this.#load = load;
    this.givenBack(all);
    this.#pass = this.#begin();
  }

  /** Until all are there and known to be right. Throws what loading throws. */
  async all(): Promise<void> {
    if (this.#hasEnded && this.#missing.size > 0) this.#pass = this.#begin();
    await this.#pass;
  }

  /** Until these are there; `verified` tells whether they are right. */
  async some(weights: readonly Variable[]): Promise<void> {
    while (weights.some((weight) => this.#missing.has(weight)))
      await Promise.race([this.all(), new Promise<void>((resolve) => this.#onMore.push(resolve))]);
  }

  /** Until those that were loaded are known to be right. Throws what loading throws. */
  async verified(): Promise<void> {
    await this.#pass;
  }

  /** To be called after a run of a function that gave these back. */
  givenBack(weights: Iterable<Variable>): void {
    for (const weight of weights) this.#missing.add(weight);
  }

  #begin(): Promise<void> {
    this.#hasEnded = false;
    const onSet = (set: Iterable<Variable>): void => {
      for (const weight of set) this.#missing.delete(weight);
      const waiting = this.#onMore;
      this.#onMore = [];
      for (const wake of waiting) wake();
    };
    const pass = this.#load(onSet)
      .catch((error: unknown) => {
        this.givenBack(this.#all);
        throw error;
      })
      .finally(() => {
        this.#hasEnded = true;
      });
    pass.catch(() => {}); // thrown where it is awaited
    return pass;
  }
}
