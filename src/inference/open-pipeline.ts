// The pipeline of a checkpoint, whatever generator it holds.

import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { DalleGenerator } from './dalle/generator.ts';
import { Pipeline } from './sampler/pipeline.ts';

/** @throws DataError when the checkpoint lacks a part, or its weights do not fit its configuration */
export const openPipeline = async (runtime: Runtime, checkpoint: Checkpoint): Promise<Pipeline> =>
  new Pipeline(runtime, await DalleGenerator.open(runtime, checkpoint));
