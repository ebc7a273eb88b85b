// Which activations a run computes again for the gradient, where its configuration leaves it open. What the devices
// have decides, not what is free of it at the moment, so that a run repeats itself. On processors all give the same
// bits, but for reversible layers, which are computed from their outputs with `full`.

import { hostname } from 'node:os';
import type { Cluster } from '../cluster/cluster.ts';
import { RECOMPUTES, type Recompute, recomputeOf, type Sharding } from '../config/fields.ts';
import type { ModelKind } from '../config/kind.ts';
import { Runtime } from '../engine/session/runtime.ts';
import { machineMemory } from '../util/machine-memory.ts';
import type { OpenContext } from './loop/run-context.ts';
import { type PlannedModel, plan } from './plan/plan.ts';
import { choicesOf, fastestThatFits } from './plan/recompute.ts';

interface Recomputing {
  readonly train: { readonly recompute?: Recompute | undefined; readonly sharding: Sharding };
}

/**
 * The configuration with `train.recompute`: as given, else that of the run which is resumed, else the fastest that fits
 * in memory at every worker. Collective.
 * @param runtime the run's, with its devices
 * @param planned plans the model on another runtime
 */
export async function withRecompute<Config extends Recomputing>(
  kind: ModelKind,
  config: Config,
  runtime: Pick<Runtime, 'replicas' | 'gpuMemory'>,
  context: Pick<OpenContext, 'cluster' | 'log' | 'stored'>,
  planned: (planning: Runtime, recompute: Recompute) => PlannedModel,
): Promise<Config> {
  if (config.train.recompute) return config;
  const choices = choicesOf(kind, config.train.sharding, runtime.replicas.count);
  const recompute = await choose(choices, config, runtime, context, planned);
  return { ...config, train: { ...config.train, recompute } };
}

async function choose(
  choices: readonly Recompute[],
  { train }: Recomputing,
  { replicas, gpuMemory }: Parameters<typeof withRecompute>[2],
  { cluster, log, stored }: Parameters<typeof withRecompute>[3],
  planned: Parameters<typeof withRecompute>[4],
): Promise<Recompute> {
  const [only] = choices;
  if (only && choices.length === 1) {
    log.info(`train.recompute: ${only}, for train.sharding: ${train.sharding}`);
    return only;
  }
  const before = await ofResumedRun(stored, cluster);
  if (before) return before;
  const memory = gpuMemory ?? machineMemory() / (replicas.names.length * (await workersHere(cluster)));
  const planning = new Runtime();
  try {
    const bytes = new Map<Recompute, number>();
    const bytesWith = (recompute: Recompute): number => {
      bytes.set(recompute, plan(planned(planning, recompute), replicas.count).memory.total);
      return bytes.get(recompute) as number;
    };
    const own = fastestThatFits(choices, bytesWith, memory);
    const recompute = await slowest(own, cluster);
    const needs = [...bytes].map(([name, count]) => `${name} takes ${gigabytes(count)}`).join(', ');
    const others = recompute === own ? '' : '; another worker has less';
    log.info(`train.recompute: ${recompute}; ${needs} of the ${gigabytes(memory)} of a device${others}`);
    return recompute;
  } finally {
    await planning.close();
  }
}

/** That of the run which worker 0 resumes, if it does. */
async function ofResumedRun(
  stored: OpenContext['stored'],
  cluster?: Cluster,
): Promise<Recompute | undefined> {
  const own = stored && recomputeOf(stored.train);
  const name = cluster ? await cluster.broadcastText(own) : own;
  return RECOMPUTES.find((recompute) => recompute === name);
}

/** Workers on this machine, which share its memory. */
async function workersHere(cluster?: Cluster): Promise<number> {
  const own = hostname();
  return cluster ? (await cluster.gatherTexts(own)).filter((name) => name === own).length : 1;
}

/** What fits at every worker. */
async function slowest(own: Recompute, cluster?: Cluster): Promise<Recompute> {
  const index = RECOMPUTES.indexOf(own);
  const all = cluster ? await cluster.gather(Float64Array.of(index)) : [[index]];
  return RECOMPUTES[Math.max(...all.map(([at]) => at as number))] as Recompute;
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`;
