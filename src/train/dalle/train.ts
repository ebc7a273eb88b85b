// mm train-dalle.

import { type DalleConfig, dalleSchema, type GivenDalleConfig } from '../../config/dalle.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { RunContext } from '../loop/run-context.ts';
import { type Prepared, runTraining } from '../run.ts';
import type { TokenBatch } from './batches.ts';
import { openDalle } from './open.ts';
import { openDalleParts, resolveDalle } from './parts.ts';

/**
 * Trains the joint Transformer into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining`, `resolveDalle` and `openDalle` do
 */
export const trainDalle = (given: GivenDalleConfig, context: RunContext): Promise<LoopResult> =>
  runTraining({ kind: 'dalle', schema: dalleSchema, prepare }, given, context);

async function prepare(
  given: GivenDalleConfig,
  { log }: RunContext,
): Promise<Prepared<DalleConfig, TokenBatch>> {
  const parts = await openDalleParts(given, (message) => log.warn(message));
  const config = resolveDalle(given, parts);
  return { config, open: (context) => openDalle(config, parts, context) };
}
