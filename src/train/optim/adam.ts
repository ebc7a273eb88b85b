// Adam with decoupled weight decay (AdamW, arXiv 1711.05101) and gradient clipping by the global norm, in the graph of
// the train step. Some matrices may be updated by Muon instead (muon.ts).

import type { z } from 'zod';
import type { optimizer, Sharding } from '../../config/fields.ts';
import { gatherSlices, ownSlice } from '../../engine/distributed/slices.ts';
import type { Pointer } from '../../engine/native/capi.ts';
import { multiplyNoNaN } from '../../engine/ops/elementwise.ts';
import { squaredNorm } from '../../engine/ops/reductions.ts';
import { type AdamStep, applyAdam, scaledEpsilon } from '../../engine/ops/updates.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Scalar, type Tensor, tf } from '../../engine/tfjs/tf.ts';
import { constant, type SpecTree } from '../../nn/parameters.ts';
import { type WeightEntries, type WeightEntry, Weights } from '../../nn/weights.ts';
import { isSharded, SlicedWeights } from '../distributed/sliced-weights.ts';
import { type MuonMatrices, orthogonalized } from './muon.ts';
import { type BatchGradients, mapGradients, ownGradients, sumsOf } from './sliced-gradients.ts';
import { memoized, type Unscaling } from './unscaling.ts';

export type OptimizerConfig = z.output<typeof optimizer>;

/** What Muon updates, and the decay of its momentum. */
export interface MuonOptions {
  readonly matrices: MuonMatrices;
  readonly momentum: number;
}

/** Rates of an update; the weight decay is multiplied by the learning rate. */
interface Rates
  extends Pick<AdamStep, 'learningRate' | 'beta1' | 'beta2' | 'beta1Power' | 'beta2Power' | 'epsilon'> {
  readonly momentum: Scalar;
  readonly weightDecay: Scalar | undefined;
  /** 1 − weightDecay. */
  readonly decayFactor: Scalar | undefined;
}

/** The gradient of the unscaled loss; 0 where it overflowed. */
function unscale(gradient: Tensor, { isApplied, factor }: Unscaling): Tensor {
  return multiplyNoNaN(gradient, tf.where(isApplied, factor, 0));
}

/** Specs of the same names and shapes, initialized with zeros. */
function zerosLike(entries: WeightEntries): SpecTree {
  return Object.fromEntries([...entries].map(([name, { spec }]) => [name, constant(spec.shape, 0)]));
}

export class Adam {
  /** The moments where they are sliced. */
  readonly slicedMoments: SlicedWeights | undefined;
  readonly #moments: Weights | undefined;
  readonly #entries: WeightEntries;
  readonly #config: OptimizerConfig;
  /** Each replica's slices of the weights that it updates. */
  readonly #slices: SlicedWeights | undefined;
  readonly #muon: MuonOptions;

  /**
   * @param entries slices of the weights, with whole specs, where these are sharded
   * @param sharding other than `none`: each replica has a slice of the moments, and updates a slice of the weights
   * @param muon updates some of the weights, which are whole then, with a first moment only
   */
  constructor(
    runtime: Runtime,
    prefix: string,
    entries: WeightEntries,
    config: OptimizerConfig,
    sharding: Sharding = 'none',
    muon: MuonOptions = { matrices: new Map(), momentum: 0 },
  ) {
    this.#entries = entries;
    this.#config = config;
    this.#muon = muon;
    const ofAdam = new Map([...entries].filter(([name]) => !muon.matrices.has(name)));
    const moments = { m: zerosLike(entries), v: zerosLike(ofAdam) };
    if (!isSharded(runtime, sharding)) {
      this.#moments = new Weights(runtime, `${prefix}/adam`, moments);
      return;
    }
    this.slicedMoments = new SlicedWeights(runtime, `${prefix}/adam`, moments);
    if (sharding === 'parameters') return;
    this.#slices = new SlicedWeights(runtime, `${prefix}/updated`, zerosLike(entries));
  }

  /** First and second moments of the gradients, named m.NAME and v.NAME; of Muon's, the first. @throws Error where they are sliced */
  get moments(): Weights {
    if (!this.#moments) throw new Error('the moments are sliced');
    return this.#moments;
  }

  /**
   * Updates all weights; inside a compiled function. Nothing changes when the gradient's norm is not finite.
   * @param gradients by parameter name; slices of them where the moments are sharded
   * @param step updates made before this one, float32 scalar
   * @param unscaling of each parameter, by name, when the loss was scaled
   * @returns the global norm of the gradients before clipping, and the update op of each weight by name
   */
  apply(
    gradients: BatchGradients,
    step: Scalar,
    learningRate: Scalar,
    unscaling?: (name: string) => Unscaling,
  ) {
    const { clipNorm } = this.#config;
    const unscaled = unscaling
      ? mapGradients(gradients, (gradient, name) => unscale(gradient, unscaling(name)))
      : gradients;
    const gradientNorm = tf.addN([...sumsOf(unscaled, squaredNorm).values()]).sqrt() as Scalar;
    const finite = tf.isFinite(gradientNorm) as Scalar;
    const clip = clipNorm === undefined ? 1 : tf.minimum(tf.scalar(clipNorm).div(gradientNorm), 1);
    const factor = tf.where(finite, clip, 0);
    const own = ownGradients(unscaled);
    const ratesOf = memoized((at: Unscaling | undefined) => this.#rates(step, learningRate, finite, at));
    const clipped = (name: string): Tensor => multiplyNoNaN(own.get(name) as Tensor, factor);
    const updates = this.#applyMuon(clipped, (name) => ratesOf(unscaling?.(name)));
    for (const [name, entry] of this.#entries) {
      if (updates.has(name)) continue;
      const { decayFactor, weightDecay: _, momentum: __, ...rates } = ratesOf(unscaling?.(name));
      const update = applyAdam({
        ...this.#updated(name, entry.spec.decay ? decayFactor : undefined),
        firstMoment: this.#moment('m', name),
        secondMoment: this.#moment('v', name),
        gradient: clipped(name),
        ...rates,
      });
      updates.set(name, update);
    }
    return { gradientNorm, updates: this.#slices ? this.#gathered(this.#slices, updates) : updates };
  }

  /** Updates the weights that are Muon's, by Nesterov's momentum; returns their update ops by name. */
  #applyMuon(gradient: (name: string) => Tensor, ratesOf: (name: string) => Rates): Map<string, Pointer> {
    const { matrices } = this.#muon;
    const momenta = new Map(
      [...matrices.keys()].map((name) => {
        const { momentum } = ratesOf(name);
        const first = this.#moment('m', name);
        const own = tf.mul(gradient(name), tf.sub(1, momentum));
        const mean = tf.add(tf.mul(first.read(), momentum), own);
        first.assign(mean);
        return [name, tf.add(tf.mul(mean, momentum), own)];
      }),
    );
    return new Map(
      [...orthogonalized(momenta, matrices)].map(([name, update]) => {
        const { learningRate, weightDecay } = ratesOf(name);
        const { variable, spec } = this.#entries.get(name) as WeightEntry;
        const step = tf.mul(update, learningRate);
        const isDecayed = weightDecay && spec.decay;
        const change = isDecayed ? tf.add(step, tf.mul(variable.read(), weightDecay)) : step;
        return [name, variable.subtract(change)];
      }),
    );
  }

  /** The variable that Adam updates, and the decay that comes before: the weight, or this replica's slice of it. */
  #updated(name: string, decayFactor: Scalar | undefined): Pick<AdamStep, 'variable' | 'after'> {
    const { variable } = this.#entries.get(name) as WeightEntry;
    if (!this.#slices)
      return { variable, after: decayFactor ? [variable.assign(variable.read().mul(decayFactor))] : [] };
    const slice = this.#slices.variable(name);
    const own = ownSlice(variable.read());
    return { variable: slice, after: [slice.assign(decayFactor ? own.mul(decayFactor) : own)] };
  }

  /** Gives each replica the weights of which all have updated their slices; returns the update ops of the weights. */
  #gathered(slices: SlicedWeights, updates: ReadonlyMap<string, Pointer>): Map<string, Pointer> {
    const own = new Map(
      [...updates].map(([name, update]) => [name, slices.variable(name).readAfter(update)]),
    );
    const shapes = new Map([...this.#entries].map(([name, { spec }]) => [name, spec.shape]));
    return new Map(
      [...gatherSlices(own, shapes)].map(([name, whole]) => [
        name,
        (this.#entries.get(name) as WeightEntry).variable.assign(whole),
      ]),
    );
  }

  /** An update that is not applied has decays of 1 and a learning rate of 0, which change nothing, bit for bit. */
  #rates(step: Scalar, learningRate: Scalar, finite: Scalar, unscaling: Unscaling | undefined): Rates {
    const { beta1, beta2, epsilon, weightDecay } = this.#config;
    const made = (unscaling?.step ?? step).add(1);
    const isApplied = unscaling ? tf.logicalAnd(unscaling.isApplied, finite) : finite;
    const ifApplied = (value: number | Scalar, otherwise: number): Scalar =>
      tf.where(isApplied, value, otherwise) as Scalar;
    const rate = ifApplied(learningRate, 0);
    const decay = weightDecay > 0 ? (rate.mul(weightDecay) as Scalar) : undefined;
    const beta2Power = tf.pow(tf.scalar(beta2), made) as Scalar;
    return {
      learningRate: rate,
      weightDecay: decay,
      decayFactor: decay && (tf.sub(1, decay) as Scalar),
      momentum: ifApplied(this.#muon.momentum, 1),
      beta1: ifApplied(beta1, 1),
      beta2: ifApplied(beta2, 1),
      beta1Power: tf.pow(tf.scalar(beta1), made) as Scalar,
      beta2Power,
      epsilon: scaledEpsilon(epsilon, beta2Power),
    };
  }

  #moment(kind: 'm' | 'v', name: string) {
    const { entries } = this.slicedMoments ?? this.moments;
    return entries.get(`${kind}.${name}`)!.variable;
  }
}
