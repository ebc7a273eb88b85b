// mm train-clip.

import { type ClipConfig, clipSchema, type GivenClipConfig } from '../../config/clip.ts';
import { loadTokenizer } from '../../tokenizers/load.ts';
import type { LoopResult } from '../loop/loop.ts';
import type { RunContext } from '../loop/run-context.ts';
import { type Prepared, runTraining } from '../run.ts';
import type { ClipBatch } from './batches.ts';
import { openClip } from './open.ts';
import { resolveClip } from './resolve.ts';

/**
 * Trains CLIP into the run folder.
 * @throws UsageError, DataError, EngineError, InterruptedError as `runTraining`, `resolveClip` and `openClip` do
 */
export const trainClip = (given: GivenClipConfig, context: RunContext): Promise<LoopResult> =>
  runTraining({ kind: 'clip', schema: clipSchema, prepare }, given, context);

async function prepare(given: GivenClipConfig): Promise<Prepared<ClipConfig, ClipBatch>> {
  const tokenizer = await loadTokenizer(given.data.tokenizer);
  const config = resolveClip(given, tokenizer);
  return { config, open: (context) => openClip(config, tokenizer, context) };
}
