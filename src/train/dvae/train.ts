// mm train-dvae.

import { type DvaeConfig, dvaeSchema } from '../../config/dvae.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { RunContext } from '../loop/run-context.ts';
import { runTraining } from '../run.ts';
import { openDvae } from './open.ts';

/**
 * Trains a dVAE into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and `openDvae` do
 */
export const trainDvae = (config: DvaeConfig, context: RunContext): Promise<LoopResult> =>
  runTraining(
    {
      kind: 'dvae',
      schema: dvaeSchema,
      prepare: async (config) => ({ config, open: (context) => openDvae(config, context) }),
    },
    config,
    context,
  );
