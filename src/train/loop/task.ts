// What a model gives to its training run.

import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { CheckpointContents } from '../../checkpoint/write.ts';
import type { BatchPosition } from '../../data/order.ts';
import type { Metrics } from '../../eval/evaluator.ts';
import type { Diagnosis } from '../optim/divergence.ts';
import type { ModelState } from './state.ts';

/** What the loop calls. A step's number is the count of updates made before it. */
export interface LoopTask<Batch> {
  /** One update; its metrics hold the `loss` that is minimised. */
  update(step: number, batch: Batch): Promise<Metrics>;
  /** Milliseconds that the update just made waited for more of its batch, where it reads a batch in chunks. */
  waited?(batch: Batch): number;
  /** Validation metrics. */
  evaluate(step: number): Promise<Metrics>;
  /** An image of what the model does now, as PNG, where there is one to make. */
  sampleImage(step: number): Promise<Uint8Array | undefined>;
  /** The first tensor that was not finite in the update just tried, which changed nothing. */
  diagnose?(step: number, batch: Batch): Promise<Diagnosis>;
}

/** What a checkpoint carries besides the state of the model. */
export type CarriedParts = Pick<CheckpointContents, 'tokenizer' | 'dvae' | 'compression'>;

/** A training run opened: its data, tokenizer and model are there, and its weights are still without values. */
export interface TrainingTask<Batch> extends LoopTask<Batch> {
  /** The configuration with what the opening of the run has chosen. */
  readonly config: object;
  readonly state: ModelState;
  /** Endless batches from a position in the data; from the start without one. */
  batches(position: BatchPosition | undefined): AsyncIterator<Batch>;
  /** Changes the initial weights of a new run. */
  onStart?(): Promise<void>;
  /** Checks the checkpoint that a run resumes from: its parts must be those of this run. */
  onResume?(from: Checkpoint): Promise<void>;
  /** Takes validation metrics that were saved, or computed by worker 0. */
  restore?(metrics: Metrics): void;
  carried?(): Promise<CarriedParts>;
}
