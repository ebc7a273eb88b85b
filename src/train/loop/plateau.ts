// Lowers the learning rate when the validation loss no longer falls.

import type { z } from 'zod';
import type { plateau } from '../../config/dalle.ts';
import type { Metrics } from '../../eval/evaluator.ts';

export type PlateauConfig = z.output<typeof plateau>;

/** Names of the state among the validation metrics, with which it is logged, saved and restored. */
const NAMES = { best: 'plateauBest', waited: 'plateauWaited', cuts: 'plateauCuts' } as const;

export class Plateau {
  readonly #config: PlateauConfig;
  #best = Number.POSITIVE_INFINITY;
  #waited = 0;
  #cuts = 0;

  constructor(config: PlateauConfig) {
    this.#config = config;
  }

  /** Multiplies the learning rate. */
  get factor(): number {
    return this.#config.factor ** this.#cuts;
  }

  /** Takes the loss of the next validation; returns the state, to be saved with its metrics. */
  observe(loss: number): Metrics {
    const { threshold, patience, maxCuts } = this.#config;
    if (loss < this.#best - threshold) {
      this.#best = loss;
      this.#waited = 0;
    } else if (++this.#waited >= patience && this.#cuts < maxCuts) {
      this.#cuts++;
      this.#waited = 0;
    }
    return { [NAMES.best]: this.#best, [NAMES.waited]: this.#waited, [NAMES.cuts]: this.#cuts };
  }

  /** Restores the state from metrics that `observe` returned. Metrics of a run without plateaus change nothing. */
  restore(metrics: Metrics): void {
    this.#best = metrics[NAMES.best] ?? this.#best;
    this.#waited = metrics[NAMES.waited] ?? 0;
    this.#cuts = metrics[NAMES.cuts] ?? 0;
  }
}
