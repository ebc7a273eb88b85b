// The pipeline of a checkpoint, whatever generator it holds.

import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { generatorSchema } from '../config/dalle-mini.ts';
import type { Precision } from '../engine/graph/precision.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { DalleGenerator } from './dalle/generator.ts';
import { openDalleMini } from './dalle-mini/generator.ts';
import { Pipeline } from './sampler/pipeline.ts';

/**
 * @param precision type of the products, and in which weights and KV cache are kept
 * @throws DataError when the checkpoint lacks a part, or its weights do not fit its configuration
 */
export async function openPipeline(
  runtime: Runtime,
  checkpoint: Checkpoint,
  precision: Precision = 'float32',
): Promise<Pipeline> {
  const { architecture } = checkpoint.config(generatorSchema).model;
  const open = architecture === 'dalle-mini' ? openDalleMini : DalleGenerator.open;
  return new Pipeline(runtime, await open(runtime, checkpoint, precision));
}
