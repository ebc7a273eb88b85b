// The temperature τ of the relaxed codes over a run, and the one that a checkpoint was last trained at.

import { z } from 'zod';
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { cosineSchedule } from '../optim/schedules.ts';

/** The end of the published schedule, for converted weights, whose configuration has no training section. */
const PUBLISHED_END = 1 / 16;

const trainedSchema = z.looseObject({ train: dvaeSchema.shape.train.optional() });

type Schedule = z.output<typeof dvaeSchema>['train'];

/** τ at a step of a run. */
export const temperatureAt = (step: number, { temperature, steps }: Schedule): number =>
  cosineSchedule(step, temperature.start, temperature.end, temperature.steps ?? steps);

/** τ at a checkpoint's step. */
export function temperatureOf(checkpoint: Checkpoint): number {
  const { train } = checkpoint.config(trainedSchema);
  return train ? temperatureAt(checkpoint.state.step, train) : PUBLISHED_END;
}
