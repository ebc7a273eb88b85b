// The resources a training configuration needs, counted on the graph of its gradients, which is built and not run.

import { SHARDINGS, type Sharding } from '../../config/fields.ts';
import type { SumAlgorithm } from '../../engine/distributed/sums.ts';
import { flopsOf, type GraphNode, peakBytes, pruneUnneeded } from '../../engine/graph/cost.ts';
import type { Examined } from '../../engine/graph/examine.ts';
import { flatten, type SpecTree } from '../../nn/parameters.ts';
import type { WeightEntries } from '../../nn/weights.ts';
import { UsageError } from '../../util/errors.ts';
import { type MuonMatrices, muonFlops } from '../optim/muon.ts';
import { momentCopies, sends } from './sharding.ts';

const FLOAT32 = 4;

/** A model and its training configuration, ready to be planned. */
export interface PlannedModel {
  readonly kind: string;
  readonly spec: SpecTree;
  /** The part of the model that a weight is counted under, by its name. */
  readonly partOf: (name: string) => string;
  /** The weights that are trained. */
  readonly trained: WeightEntries;
  readonly batch: number;
  readonly allReduce: SumAlgorithm;
  /** `train.sharding`. */
  readonly sharding: Sharding;
  /** Examples that each of `devices` computes at once. */
  readonly examplesAtOnce: (devices: number) => number;
  readonly steps: number;
  readonly hasEma: boolean;
  /** What Muon updates. */
  readonly muon?: MuonMatrices | undefined;
  /** Builds the gradients of `count` examples. */
  readonly gradients: (count: number) => Examined;
}

export interface ResourcePlan {
  readonly kind: string;
  readonly parameters: {
    readonly total: number;
    readonly trained: number;
    readonly parts: Record<string, number>;
  };
  /**
   * Floating-point operations of the matrix products and convolutions of one update: forward, backward, and those of
   * Muon on each device.
   */
  readonly flopsPerStep: number;
  readonly flopsPerRun: number;
  readonly devices: number;
  /** Examples that one device holds at once. */
  readonly examplesAtOnce: number;
  readonly sharding: Sharding;
  /** Bytes that each device sends in an update, to sum gradients and to gather what is sharded. */
  readonly sentPerStep: number;
  /** Bytes on the device that holds most: its share of what is sharded, and all of the rest. */
  readonly memory: {
    readonly weights: number;
    readonly gradients: number;
    readonly moments: number;
    readonly ema: number;
    /** Sums of gradients, beside the gradients, with several devices. */
    readonly exchange: number;
    readonly activations: number;
    readonly total: number;
  };
  readonly graphNodes: number;
}

/**
 * @param devices share the batch, and what `sharding` says, by default the configuration's
 * @throws UsageError when `sharding` does not go with Muon
 */
export function plan(
  model: PlannedModel,
  devices: number,
  given: Sharding | undefined = model.sharding,
): ResourcePlan {
  const sharding = devices === 1 ? 'none' : given;
  const sizes = flatten(model.spec).map(
    ([name, { shape }]) => [name, shape.reduce((a, b) => a * b, 1)] as const,
  );
  const { muon = new Map() } = model;
  if (muon.size > 0 && sharding !== 'none')
    throw new UsageError(`sharding ${sharding} does not go with train.optimizer.kind: muon`, {
      code: 'E_PLAN_SHARDING',
      option: 'sharding',
      fix: 'plan it with `sharding` none, or with train.optimizer.kind=adam',
    });
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  const trained = sizes.reduce((sum, [name, size]) => sum + (model.trained.has(name) ? size : 0), 0);
  const parts: Record<string, number> = {};
  for (const [name, size] of sizes) parts[model.partOf(name)] = (parts[model.partOf(name)] ?? 0) + size;
  const examples = Math.max(1, Math.ceil(model.examplesAtOnce(devices)));
  const { nodes: recorded, results } = model.gradients(examples);
  const nodes = pruneUnneeded(recorded, results);
  const flops = nodes.reduce((sum: number, node: GraphNode) => sum + flopsOf(node), 0);
  const shapes = new Map(flatten(model.spec).map(([name, { shape }]) => [name, shape]));
  const flopsPerStep = (flops * model.batch) / examples + devices * muonFlops(shapes, muon);
  const withoutSecond = sizes.reduce((sum, [name, size]) => sum + (muon.has(name) ? size : 0), 0);
  /** Bytes of `copies` values of each parameter, divided from `from` on. */
  const each = (count: number, copies: number, from: Sharding): number => {
    const isSharded = SHARDINGS.indexOf(sharding) >= SHARDINGS.indexOf(from);
    return Math.ceil((count * copies * FLOAT32) / (isSharded ? devices : 1));
  };
  const memory = {
    weights: each(total, 1, 'parameters'),
    gradients: each(trained, 1, 'gradients'),
    moments: each(trained, momentCopies(sharding), 'optimizer') - withoutSecond * FLOAT32,
    ema: each(total, model.hasEma ? 1 : 0, 'optimizer'),
    exchange: devices === 1 ? 0 : each(trained, 1, 'parameters'),
    activations: peakBytes(nodes, results),
  };
  return {
    kind: model.kind,
    parameters: { total, trained, parts },
    flopsPerStep,
    flopsPerRun: flopsPerStep * model.steps,
    devices,
    sharding,
    sentPerStep: Math.ceil((sends(sharding, model.allReduce) * trained * FLOAT32 * (devices - 1)) / devices),
    examplesAtOnce: examples,
    memory: { ...memory, total: Object.values(memory).reduce((a, b) => a + b, 0) },
    graphNodes: nodes.length,
  };
}

/** How fast a device is. */
export interface DeviceSpeed {
  /** Floating-point operations a second that it reaches in training. */
  readonly flops?: number | undefined;
  /** Bytes a second that it sends to the others. */
  readonly bandwidth?: number | undefined;
}

/** Seconds of an update, of what is known: computing, and exchanging, of which some can go on at once. */
export interface StepTime {
  readonly compute: number | undefined;
  readonly exchange: number | undefined;
}

/** The time that counted operations and bytes imply, without the cost of each op and exchange. */
export const stepTime = (
  { flopsPerStep, devices, sentPerStep }: ResourcePlan,
  { flops, bandwidth }: DeviceSpeed,
): StepTime => ({
  compute: flops && flopsPerStep / devices / flops,
  exchange: bandwidth && sentPerStep / bandwidth,
});
