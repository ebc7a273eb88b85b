// A trained dVAE as a codec: images to codes and back, in batches of one size.

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DvaeModelConfig, dvaeCheckpointSchema } from '../../config/dvae.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import { type DvaeArchitecture, dvaeArchitecture } from '../../models/dvae/architecture.ts';
import { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';

/** Images encoded in one run of the graph; what is left over is filled up. */
const BATCH = 32;
/** Decoded in one run: among others, an image would be rounded otherwise in some places of the batch. */
const DECODED = 1;

export class DvaeCodec {
  readonly config: DvaeModelConfig;
  /** Codes on a side. */
  readonly grid: number;
  /** Identifies the weights. */
  readonly hash: string;
  readonly #encode;
  readonly #decode;
  readonly #codeVectors;
  readonly #relaxed;

  private constructor(
    runtime: Runtime,
    config: DvaeModelConfig,
    hash: string,
    architecture: DvaeArchitecture,
    weights: Weights,
  ) {
    this.config = config;
    this.grid = architecture.grid;
    this.hash = hash;
    this.#encode = runtime.compile('dVAE encode', ({ pixels }: { pixels: Tensor }) => {
      const logits = architecture.encode(weights.read(), tf.div(pixels, 255) as Tensor4D);
      return { codes: tf.argMax(logits, -1) };
    });
    this.#codeVectors = runtime.compile('dVAE code vectors', () => ({
      vectors: architecture.codeVectors(weights.read()),
    }));
    this.#decode = runtime.compile('dVAE decode', ({ codes }: { codes: Tensor }) => {
      return { pixels: tf.mul(architecture.decodeCodes(weights.read(), codes as Tensor3D), 255) };
    });
    type Relaxed = Record<'pixels' | 'key' | 'temperature', Tensor>;
    this.#relaxed = runtime.compile('dVAE relaxed', ({ pixels, key, temperature }: Relaxed) => {
      const { mse } = architecture.loss(weights.read(), tf.div(pixels, 255) as Tensor4D, {
        key: key as Tensor1D,
        temperature: temperature as Scalar,
        klWeight: tf.scalar(0),
      });
      return { mse };
    });
  }

  /** The averaged weights of a checkpoint where it has them. Throws DataError when they do not fit its configuration. */
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<DvaeCodec> {
    const config = checkpoint.config(dvaeCheckpointSchema).model;
    const architecture = dvaeArchitecture(config);
    const weights = new Weights(runtime, 'codec', architecture.spec);
    await weights.load(await checkpoint.read(checkpoint.bestPart, weights.expected()));
    return new DvaeCodec(runtime, config, hashOf(checkpoint), architecture, weights);
  }

  /** A vector for each code, [vocabulary, channels]; codes that look alike have vectors that are near. */
  async codeVectors(): Promise<HostTensor> {
    return (await this.#codeVectors({})).vectors;
  }

  /**
   * The codes of images: argmax of the logits, no noise (section 2.1).
   * @param pixels RGB, count × imageSize × imageSize × 3
   * @returns count × grid × grid
   */
  async encode(pixels: Uint8Array): Promise<Int32Array> {
    const { imageSize } = this.config;
    const run = async (data: Uint8Array) => {
      const { codes } = await this.#encode({
        pixels: { dtype: 'uint8', shape: [BATCH, imageSize, imageSize, 3], data },
      });
      return codes.data as Int32Array;
    };
    return inBatches(BATCH, pixels, imageSize ** 2 * 3, this.grid ** 2, Uint8Array, Int32Array, run);
  }

  /**
   * Mean squared error, of pixels in [0, 1], of images decoded from a sample of their relaxed codes, as in training.
   * @param pixels RGB, count × imageSize × imageSize × 3
   * @param temperature τ
   * @param seed of the sample
   */
  async relaxedError(pixels: Uint8Array, temperature: number, seed: number): Promise<number> {
    const { imageSize } = this.config;
    const length = imageSize ** 2 * 3;
    const count = pixels.length / length;
    let sum = 0;
    for (let start = 0; start < count; start += BATCH) {
      const data = pixels.subarray(start * length, (start + BATCH) * length);
      const batch = data.length / length;
      const { mse } = await this.#relaxed({
        pixels: { dtype: 'uint8', shape: [batch, imageSize, imageSize, 3], data },
        key: { dtype: 'int32', shape: [2], data: graphSeed(seed, 'relaxed', start) },
        temperature: floatScalar(temperature),
      });
      sum += Number(mse.data[0]) * batch;
    }
    return sum / count;
  }

  /**
   * The images that codes stand for; each is the same whatever the others are.
   * @param codes count × grid × grid, each below the vocabulary
   * @returns RGB, count × imageSize × imageSize × 3
   */
  async decode(codes: Int32Array): Promise<Uint8Array> {
    const run = async (data: Int32Array) => {
      const { pixels } = await this.#decode({
        codes: { dtype: 'int32', shape: [DECODED, this.grid, this.grid], data },
      });
      return Uint8Array.from(pixels.data as Float32Array, Math.round);
    };
    const { imageSize } = this.config;
    return inBatches(DECODED, codes, this.grid ** 2, imageSize ** 2 * 3, Int32Array, Uint8Array, run);
  }
}

type ArrayOf<T> = new (length: number) => T;
type Codes = Int32Array | Uint8Array;

/** Applies `run` to `input`, `size` items at a time; items are `from` values in and `to` values out. */
async function inBatches<In extends Codes, Out extends Codes>(
  size: number,
  input: In,
  from: number,
  to: number,
  inputs: ArrayOf<In>,
  outputs: ArrayOf<Out>,
  run: (batch: In) => Promise<Out>,
): Promise<Out> {
  const count = input.length / from;
  const result = new outputs(count * to);
  for (let start = 0; start < count; start += size) {
    const part = input.subarray(start * from, (start + size) * from) as In;
    const batch = new inputs(size * from);
    batch.set(part);
    const out = await run(batch);
    result.set(out.subarray(0, (part.length / from) * to), start * to);
  }
  return result;
}
