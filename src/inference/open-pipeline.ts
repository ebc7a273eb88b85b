// The pipeline of a checkpoint, whatever generator it holds.

import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { generatorSchema } from '../config/dalle-mini.ts';
import type { Precision } from '../engine/graph/precision.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { DalleGenerator } from './dalle/generator.ts';
import { beginDalleMini } from './dalle-mini/generator.ts';
import { Pipeline } from './sampler/pipeline.ts';

/**
 * Opens a checkpoint's generator, whatever it is, and loads its weights.
 * @param precision type of the products, and in which weights and KV cache are kept
 * @param meanwhile work with the pipeline that begins while the weights are loaded, such as its `prepare`
 * @throws DataError when the checkpoint lacks a part, or its weights do not fit its configuration; what `meanwhile`
 * throws
 */
export async function openPipeline(
  runtime: Runtime,
  checkpoint: Checkpoint,
  precision: Precision = 'float32',
  meanwhile?: (pipeline: Pipeline) => Promise<void>,
): Promise<Pipeline> {
  const { architecture } = checkpoint.config(generatorSchema).model;
  const begin = architecture === 'dalle-mini' ? beginDalleMini : DalleGenerator.begin;
  const pipeline = new Pipeline(runtime, await begin(runtime, checkpoint, precision));
  const loading = pipeline.generator.tokens.loaded?.all();
  const [loaded, done] = await Promise.allSettled([loading, meanwhile?.(pipeline)]);
  for (const { reason } of [loaded, done].filter((end) => end.status === 'rejected')) throw reason;
  return pipeline;
}
