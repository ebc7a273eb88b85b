// Lowers the step size when the loss on held-out data no longer falls.

import type { z } from 'zod';
import type { plateau } from '../../config/dalle.ts';
import type { Metrics } from './loop.ts';

export type PlateauConfig = z.output<typeof plateau>;

/** What is logged and saved with the figures on held-out data, and resumed from them. */
const NAMES = { best: 'plateauBest', waited: 'plateauWaited', cuts: 'plateauCuts' } as const;

export class Plateau {
  readonly #config: PlateauConfig;
  #best = Number.POSITIVE_INFINITY;
  #waited = 0;
  #cuts = 0;

  constructor(config: PlateauConfig) {
    this.#config = config;
  }

  /** What the step size is multiplied by. */
  get factor(): number {
    return this.#config.factor ** this.#cuts;
  }

  /** Takes the next validation's loss; returns the state, to be saved with its figures. */
  observe(loss: number): Metrics {
    const { threshold, patience, maxCuts: times } = this.#config;
    if (loss < this.#best - threshold) {
      this.#best = loss;
      this.#waited = 0;
    } else if (++this.#waited >= patience && this.#cuts < times) {
      this.#cuts++;
      this.#waited = 0;
    }
    return { [NAMES.best]: this.#best, [NAMES.waited]: this.#waited, [NAMES.cuts]: this.#cuts };
  }

  /** Goes on from the figures that `observe` gave last. Figures of a run without plateaus change nothing. */
  resume(figures: Metrics): void {
    this.#best = figures[NAMES.best] ?? this.#best;
    this.#waited = figures[NAMES.waited] ?? 0;
    this.#cuts = figures[NAMES.cuts] ?? 0;
  }
}
