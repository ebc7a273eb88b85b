// Revives dead codes while a dVAE is trained. The train step counts codes; at the end of a window, codes that never
// occurred get new weights (models/dvae/revive.ts), in the weights and in their EMA, and moments of 0.
//   B batch, G grid, V codes

import type { OpenaiDvaeConfig } from '../../config/dvae.ts';
import { allGather } from '../../engine/distributed/collectives.ts';
import { eachReplica } from '../../engine/distributed/replicas.ts';
import { ownSlice } from '../../engine/distributed/slices.ts';
import { sumOverReplicas } from '../../engine/distributed/sums.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { gather } from '../../engine/ops/gather.ts';
import { histogram } from '../../engine/ops/reductions.ts';
import { compileReplicated } from '../../engine/session/replicated.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import type { Variable } from '../../engine/tfjs/variable.ts';
import { type DvaeSpec, encoderFeatures } from '../../models/dvae/model.ts';
import { mapPixels } from '../../models/dvae/pixels.ts';
import { reviveCodes } from '../../models/dvae/revive.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import { constant } from '../../nn/parameters.ts';
import { Weights } from '../../nn/weights.ts';
import { RandomStream } from '../../util/random.ts';
import { partOf } from '../distributed/batch-update.ts';
import { SlicedWeights } from '../distributed/sliced-weights.ts';
import type { ModelState } from '../loop/state.ts';

type Pixels = Record<'pixels', Tensor>;

/** Features sampled for one revival. */
const MAX_FEATURES = 4096;

const PLACES = {
  weight: 'encoder.output.weight',
  bias: 'encoder.output.bias',
  rows: 'decoder.input.weight',
} as const;

export class DeadCodeReviver {
  /** Occurrences of each code in this window. */
  readonly counts: Weights;
  readonly #model: OpenaiDvaeConfig;
  readonly #seed: number;
  readonly #runtime: Runtime;
  readonly #gather;
  readonly #read;
  readonly #write;

  constructor(runtime: Runtime, state: ModelState<DvaeSpec>, model: OpenaiDvaeConfig, seed: number) {
    const { weights, ema, optimizer } = state;
    this.#model = model;
    this.#seed = seed;
    this.#runtime = runtime;
    this.#gather = compileReplicated(runtime, 'images of all devices', (own: readonly Pixels[]) => {
      const [pixels] = eachReplica((r) => allGather(own[r]!.pixels));
      return { each: [], common: { pixels: pixels as Tensor } };
    });
    this.counts = new Weights(runtime, 'dvae/codebook', {
      codebook: { counts: constant([model.vocabulary], 0) },
    });
    const variable = (of: Weights, name: string): Variable => of.entries.get(name)!.variable;
    this.#read = runtime.compile(
      'read the codebook',
      ({ pixels, places }: { pixels: Tensor; places: Tensor }) => {
        const { encoder, decoder } = weights.read();
        const x = mapPixels(tf.div(pixels, 255) as Tensor4D);
        const grid = encoderFeatures(encoder, x, model);
        const features = gather(tf.reshape(grid, [-1, grid.shape[3]]), places);
        const logits = tf.add(tf.matMul(features, kernelMatrix(encoder.output.weight)), encoder.output.bias);
        return {
          counts: variable(this.counts, 'codebook.counts').read(),
          features,
          codes: tf.argMax(logits, -1),
          weight: encoder.output.weight,
          bias: encoder.output.bias,
          rows: decoder.input.weight,
        };
      },
    );
    type Written = Record<'isRevived' | keyof typeof PLACES, Tensor>;
    this.#write = runtime.compile('write the codebook', ({ isRevived, ...given }: Written) => {
      const masks = {
        weight: isRevived,
        bias: isRevived,
        rows: tf.reshape(isRevived, [-1, 1]),
      };
      eachReplica((replica) => {
        for (const [part, name] of Object.entries(PLACES) as [keyof typeof PLACES, string][]) {
          const { shape } = given[part];
          const put = (of: Weights | SlicedWeights, place: string, value: Tensor): void => {
            const { variable: entry } = of.entries.get(place)!;
            const own = of instanceof SlicedWeights ? ownSlice : (x: Tensor): Tensor => x;
            const isPut = tf.cast(own(tf.add(masks[part], tf.zeros(shape))), 'bool');
            entry.assign(tf.where(isPut, own(value), entry.read()));
          };
          put(weights, name, given[part]);
          if (ema?.slices) put(ema.slices, name, given[part]);
          else if (ema && replica === 0) put(ema.weights, name, given[part]);
          for (const moment of ['m', 'v'])
            put(optimizer.slicedMoments ?? optimizer.moments, `${moment}.${name}`, tf.zerosLike(given[part]));
        }
        const counts = variable(this.counts, 'codebook.counts');
        counts.assign(tf.zeros([model.vocabulary]));
      });
      return {};
    });
  }

  /** Counts the codes of a batch, or of all devices' parts of it; inside the train step. */
  count(logits_BGGV: Tensor4D): void {
    const codes = tf.reshape(tf.argMax(logits_BGGV, -1), [-1]) as Tensor1D;
    const { variable } = this.counts.entries.get('codebook.counts')!;
    const occurrences = sumOverReplicas(histogram(codes, this.#model.vocabulary), 'order');
    variable.assign(tf.add(variable.read(), occurrences));
  }

  /** The images of the whole batch. */
  async #ofAllWorkers(own: HostTensor): Promise<HostTensor> {
    const { names, count } = this.#runtime.replicas;
    if (count === names.length) return own;
    const [images = 0, ...image] = own.shape;
    const shares = names.map((_, r) => ({
      pixels: {
        dtype: 'uint8',
        shape: [images / names.length, ...image],
        data: partOf(own.data as Uint8Array, r, names.length),
      } satisfies HostTensor,
    }));
    const { pixels } = (await this.#gather(shares, {})).common;
    return { dtype: 'uint8', shape: pixels.shape, data: Uint8Array.from(pixels.data as Float32Array) };
  }

  /**
   * Ends a window: gives each code that did not occur in it the features of some position of the images.
   * @param own this worker's images of the batch, uint8 [B / workers, size, size, 3]
   * @returns the number of codes revived
   */
  async run(step: number, own: HostTensor): Promise<number> {
    const pixels = await this.#ofAllWorkers(own);
    const random = new RandomStream(this.#seed, 'revive', step);
    const side = this.#model.imageSize / 2 ** (this.#model.groups - 1);
    const all = Int32Array.from({ length: (pixels.shape[0] as number) * side ** 2 }, (_, i) => i);
    const places = random.shuffle(all).slice(0, MAX_FEATURES);
    const read = await this.#read({
      pixels,
      places: { dtype: 'int32', shape: [places.length], data: places },
    });
    const floats = (name: 'counts' | 'features' | 'weight' | 'bias' | 'rows'): Float32Array =>
      read[name].data as Float32Array;
    const counts = floats('counts');
    const dead = [...counts.keys()].filter((code) => counts[code] === 0);
    const book = {
      encoderWeight: floats('weight'),
      encoderBias: floats('bias'),
      decoderWeight: floats('rows'),
    };
    const codes = read.codes.data as Int32Array;
    const revived = reviveCodes(book, { features: floats('features'), codes }, dead, random);
    const isRevived = new Float32Array(counts.length);
    for (const code of revived) isRevived[code] = 1;
    await this.#write({
      isRevived: { dtype: 'float32', shape: [counts.length], data: isRevived },
      weight: read.weight,
      bias: read.bias,
      rows: read.rows,
    });
    return revived.length;
  }
}
