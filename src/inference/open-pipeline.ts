// The pipeline of a checkpoint, whatever generator it holds.

import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { dalleCheckpointSchema } from '../config/dalle.ts';
import { generatorSchema } from '../config/dalle-mini.ts';
import type { Precision } from '../engine/graph/precision.ts';
import type { Runtime } from '../engine/session/runtime.ts';
import { DalleGenerator, runtimeForSteps } from './dalle/generator.ts';
import { beginDalleMini } from './dalle-mini/generator.ts';
import type { Generator } from './sampler/generator.ts';
import { Pipeline } from './sampler/pipeline.ts';

export interface PipelineOptions {
  /** Type of the products, and in which weights and KV cache are kept. */
  readonly precision?: Precision;
  /** Rows that a step multiplies at most, where that is known: with few of them a small model is faster in one thread. */
  readonly rows?: number;
  /** Work with the pipeline that begins while the weights are loaded, such as its `prepare`. */
  readonly meanwhile?: ((pipeline: Pipeline) => Promise<void>) | undefined;
}

/**
 * Opens a checkpoint's generator, whatever it is, and loads its weights.
 * @throws DataError when the checkpoint lacks a part, or its weights do not fit its configuration; what `meanwhile`
 * throws
 */
export async function openPipeline(
  runtime: Runtime,
  checkpoint: Checkpoint,
  { precision, rows, meanwhile }: PipelineOptions = {},
): Promise<Pipeline> {
  const { architecture } = checkpoint.config(generatorSchema).model;
  const isMini = architecture === 'dalle-mini';
  const ofSteps =
    rows === undefined || isMini
      ? runtime
      : runtimeForSteps(runtime, checkpoint.config(dalleCheckpointSchema).model, rows);
  const generator = isMini
    ? await beginDalleMini(runtime, checkpoint, precision)
    : await DalleGenerator.begin(ofSteps, checkpoint, precision, runtime);
  const pipeline = new Pipeline<Generator>(ofSteps, generator);
  const loading = pipeline.generator.tokens.loaded?.all();
  const [loaded, done] = await Promise.allSettled([loading, meanwhile?.(pipeline)]);
  for (const { reason } of [loaded, done].filter((end) => end.status === 'rejected')) throw reason;
  return pipeline;
}
