// The temperature at which a checkpoint's dVAE was last trained.

import { z } from 'zod';
import type { Checkpoint } from '../../checkpoint/read.ts';
import { dvaeSchema } from '../../config/dvae.ts';
import { loadConfig } from '../../config/load.ts';
import { cosine } from '../optim/schedules.ts';

/** Where the published schedule ends; for weights that were converted, and so say nothing of their training. */
const PUBLISHED = 1 / 16;

const trainedSchema = z.looseObject({ train: dvaeSchema.shape.train.optional() });

type Schedule = z.output<typeof dvaeSchema>['train'];

/** τ at a step of a run. */
export const temperatureAt = (step: number, { temperature, steps }: Schedule): number =>
  cosine(step, temperature.start, temperature.end, temperature.steps ?? steps);

/** τ at a checkpoint's step. */
export function temperatureOf(checkpoint: Checkpoint): number {
  const { train } = loadConfig(trainedSchema, { file: checkpoint.configFile });
  return train ? temperatureAt(checkpoint.state.step, train) : PUBLISHED;
}
