// CLIP's update of a batch that fits in memory, in the graph; replicated-step.ts makes the same update on several
// devices, cached-step.ts in chunks.

import type { Cluster } from '../../cluster/cluster.ts';
import type { ClipConfig } from '../../config/clip.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { gatherFromReplicas } from '../../engine/distributed/sums.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import { floatScalar } from '../../engine/native/tensor.ts';
import type { OnHost } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { MAX_LOGIT_SCALE } from '../../models/clip/loss.ts';
import type { ClipSpec } from '../../models/clip/model.ts';
import { BatchStatistics, movedTowards } from '../../nn/batch-norm.ts';
import type { Weights } from '../../nn/weights.ts';
import { numbers } from '../loop/scalars.ts';
import type { Adam } from '../optim/adam.ts';
import type { Ema } from '../optim/ema.ts';
import type { BatchGradients } from '../optim/sliced-gradients.ts';
import { type ClipInputs, clipGradients, LOGIT_SCALE, logitParameters } from './gradients.ts';

/** The variables that a step changes, and how. */
export interface ClipStepParts {
  readonly runtime: Runtime;
  readonly config: ClipConfig;
  readonly weights: Weights<ClipSpec>;
  readonly optimizer: Adam;
  readonly ema: Ema<ClipSpec> | undefined;
  /** The workers that make the updates together. */
  readonly cluster?: Cluster | undefined;
}

/**
 * Updates the running statistics by those of a chunk, or by those of the devices' chunks one after the other; returns
 * the update ops by parameter name. On each device.
 */
export function updateStatistics(
  { weights }: ClipStepParts,
  statistics: BatchStatistics,
): [string, Pointer][] {
  const own = new Map<string, Tensor>();
  for (const [name, { variable, spec }] of weights.entries) {
    const seen = spec.trained ? undefined : statistics.share(variable.read());
    if (seen) own.set(name, seen);
  }
  const chunks = gatherFromReplicas(own);
  return [...own.keys()].map((name): [string, Pointer] => {
    const { variable } = weights.entries.get(name)!;
    // An assignment for each chunk: TensorFlow would compute two movements at once with another rounding.
    let update: Pointer | undefined;
    for (const chunk of chunks) {
      const running = update === undefined ? variable.read() : variable.readAfter(update);
      update = variable.assign(movedTowards(running, chunk.get(name)!));
    }
    return [name, update as Pointer];
  });
}

/**
 * Applies the optimizer; on each device, clips the logit scale of the softmax loss, updates the EMA.
 * @param statistics update ops of the running statistics, or `before` when an earlier run of the step made them
 */
export function applyUpdate(
  { config, weights, optimizer, ema }: ClipStepParts,
  gradients: BatchGradients,
  step: Scalar,
  learningRate: Scalar,
  statistics: readonly [string, Pointer][] | 'before',
) {
  const { gradientNorm, updates } = optimizer.apply(gradients, step, learningRate);
  const updated = (name: string): Tensor =>
    weights.entries.get(name)!.variable.readAfter(updates.get(name) as Pointer);
  let { scale, bias } = logitParameters(config.model, updated);
  // The sigmoid loss has no bound: published SigLIPs have factors above 100.
  if (!bias) {
    scale = tf.minimum(scale, MAX_LOGIT_SCALE);
    updates.set(LOGIT_SCALE, weights.entries.get(LOGIT_SCALE)!.variable.assign(scale));
  }
  if (statistics !== 'before') for (const [name, update] of statistics) updates.set(name, update);
  ema?.update(updates, step);
  return { gradientNorm, logitScale: tf.exp(scale), ...(bias && { logitBias: bias }) };
}

/**
 * Applies the gradients on each device; the EMA is the first one's unless it is sliced. Inside a compiled function.
 * @param gradients of the batch, for each device
 * @param statistics of a device, as in `applyUpdate`
 */
export function applyToReplicas(
  parts: ClipStepParts,
  gradients: readonly BatchGradients[],
  { step, learningRate }: Record<'step' | 'learningRate', Tensor>,
  statistics: (replica: number) => Parameters<typeof applyUpdate>[4],
) {
  const [first] = eachReplica((r) =>
    applyUpdate(
      r === 0 || parts.ema?.slices ? parts : { ...parts, ema: undefined },
      gradients[r]!,
      step as Scalar,
      learningRate as Scalar,
      statistics(r),
    ),
  );
  return first!;
}

export interface ClipStepResult {
  readonly loss: number;
  readonly accuracy: number;
  readonly gradientNorm: number;
  /** exp(logit scale) after the update. */
  readonly logitScale: number;
  /** The logit bias after the update; of the sigmoid loss. */
  readonly logitBias?: number;
}

/**
 * Makes one update; `chunks`, those of this process, may be iterated twice. The devices of all workers take the chunks
 * of a batch in turn.
 */
export type ClipStep = (
  step: number,
  learningRate: number,
  chunks: () => AsyncIterable<OnHost<ClipInputs>>,
) => Promise<ClipStepResult>;

/** The update of a batch that fits in memory, on one device. */
export function wholeStep(parts: ClipStepParts): ClipStep {
  const { runtime, config, weights } = parts;
  const update = runtime.compile(
    'CLIP train step',
    ({ step, learningRate, ...inputs }: ClipInputs & Record<'step' | 'learningRate', Tensor>) => {
      const statistics = new BatchStatistics();
      const { values, gradients } = clipGradients(weights, config, inputs, statistics);
      const results = applyUpdate(
        parts,
        gradients,
        step as Scalar,
        learningRate as Scalar,
        updateStatistics(parts, statistics),
      );
      return { ...values, ...results };
    },
    { precision: config.train.precision },
  );
  return async (step, learningRate, chunks) => {
    for await (const inputs of chunks()) {
      const rates = { step: floatScalar(step), learningRate: floatScalar(learningRate) };
      return numbers(await update({ ...inputs, ...rates }));
    }
    throw new Error('a batch has no chunk');
  };
}
