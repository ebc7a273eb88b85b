// mm train-dalle.

import { type DalleConfig, dalleSchema } from '../../config/dalle.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { RunContext } from '../loop/run-context.ts';
import { runTraining } from '../run.ts';
import { openDalle } from './open.ts';

/**
 * Trains the joint Transformer into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and `openDalle` do
 */
export const trainDalle = (config: DalleConfig, context: RunContext): Promise<LoopResult> =>
  runTraining({ kind: 'dalle', schema: dalleSchema, open: openDalle }, config, context);
