// mm train-clip.

import { type ClipConfig, clipSchema } from '../../config/clip.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { RunContext } from '../loop/run-context.ts';
import { runTraining } from '../run.ts';
import { openClip } from './open.ts';

/**
 * Trains CLIP into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining` and `openClip` do
 */
export const trainClip = (config: ClipConfig, context: RunContext): Promise<LoopResult> =>
  runTraining({ kind: 'clip', schema: clipSchema, open: openClip }, config, context);
