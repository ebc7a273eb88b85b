// A trained dVAE as a codec: encodes images into codes and decodes codes into images. Opened from a checkpoint folder.

import { type Checkpoint, hashOf } from '../../checkpoint/checkpoint.ts';
import { type DvaeModelConfig, dvaeCheckpointSchema } from '../../config/dvae.ts';
import { floatScalar, type HostTensor } from '../../engine/native/tensor.ts';
import type { Compiled } from '../../engine/session/compiled.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor3D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import { dvaeArchitecture, type ImageTokenizer, imageTokenizer } from '../../models/dvae/architecture.ts';
import { Weights } from '../../nn/weights.ts';
import { DataError } from '../../util/errors.ts';
import { graphSeed } from '../../util/random.ts';
import { paddedBatch, runInBatches } from '../batched.ts';

/** Images encoded in one run; the last run is filled up, since rounding would depend on its size. */
const ENCODE_BATCH = 32;
/** The same of a VQGAN, whose layers at the size of the image are many, and whose attention grows with its square. */
const VQGAN_ENCODE_BATCH = 4;
/** Images decoded in one run: in a larger batch, rounding would depend on an image's index. */
const DECODE_BATCH = 1;

export interface CodecSize {
  /** Codes on a side of an image. */
  readonly grid: number;
  /** Codes in the codebook. */
  readonly vocabulary: number;
}

/** The size of the codec that a checkpoint holds, from its configuration alone. */
export function codecSize(checkpoint: Checkpoint): CodecSize {
  const config = checkpoint.config(dvaeCheckpointSchema).model;
  return { grid: imageTokenizer(config).grid, vocabulary: config.vocabulary };
}

type RelaxedInputs = Record<'pixels' | 'key' | 'temperature', Tensor>;

export class DvaeCodec {
  readonly config: DvaeModelConfig;
  /** Codes on a side of an image. */
  readonly grid: number;
  /** Hash of the weights. */
  readonly hash: string;
  readonly #where: string;
  readonly #encode;
  readonly #decode;
  readonly #codeVectors;
  /** Undefined for a VQGAN: its codes have no relaxation that mm trains with. */
  readonly #relaxed: Compiled<RelaxedInputs, { readonly mse: Tensor }> | undefined;

  private constructor(
    runtime: Runtime,
    config: DvaeModelConfig,
    { hash, where }: { readonly hash: string; readonly where: string },
    tokenizer: ImageTokenizer,
    weights: Weights,
  ) {
    this.config = config;
    this.grid = tokenizer.grid;
    this.hash = hash;
    this.#where = where;
    this.#encode = runtime.compile('dVAE encode', ({ pixels }: { pixels: Tensor }) => {
      const logits = tokenizer.encode(weights.read(), tf.div(pixels, 255) as Tensor4D);
      return { codes: tf.argMax(logits, -1) };
    });
    this.#codeVectors = runtime.compile('dVAE code vectors', () => ({
      vectors: tokenizer.codeVectors(weights.read()),
    }));
    this.#decode = runtime.compile('dVAE decode', ({ codes }: { codes: Tensor }) => {
      return { pixels: tf.mul(tokenizer.decodeCodes(weights.read(), codes as Tensor3D), 255) };
    });
    if (config.architecture === 'vqgan') return;
    const { loss } = dvaeArchitecture(config);
    this.#relaxed = runtime.compile('dVAE relaxed', ({ pixels, key, temperature }: RelaxedInputs) => {
      const { mse } = loss(weights.read(), tf.div(pixels, 255) as Tensor4D, {
        key: key as Tensor1D,
        temperature: temperature as Scalar,
        klWeight: tf.scalar(0),
      });
      return { mse };
    });
  }

  /**
   * Opens a checkpoint: its EMA weights, or the last ones when it has none.
   * @throws DataError when they do not fit the checkpoint's configuration
   */
  static async open(runtime: Runtime, checkpoint: Checkpoint): Promise<DvaeCodec> {
    const config = checkpoint.config(dvaeCheckpointSchema).model;
    const tokenizer = imageTokenizer(config);
    const weights = new Weights(runtime, 'codec', tokenizer.spec);
    await weights.loadEach(checkpoint.tensors(checkpoint.bestPart, weights.fileOptions));
    return new DvaeCodec(
      runtime,
      config,
      { hash: hashOf(checkpoint), where: checkpoint.path },
      tokenizer,
      weights,
    );
  }

  /** A vector for each code, [vocabulary, channels]; codes that look alike have close vectors. */
  async codeVectors(): Promise<HostTensor> {
    return (await this.#codeVectors({})).vectors;
  }

  /**
   * The codes of images: argmax of the logits, without noise (arXiv 2102.12092, section 2.1).
   * @param pixels RGB, count × imageSize × imageSize × 3
   * @returns count × grid × grid
   * @throws DataError E_DVAE_NO_ENCODER for one that makes images of codes alone
   */
  async encode(pixels: Uint8Array): Promise<Int32Array> {
    const { imageSize, architecture } = this.config;
    if (architecture === 'vqgan' && !this.config.hasEncoder)
      throw new DataError(
        'this VQGAN has a decoder alone: it makes images of codes, and no codes of images',
        {
          code: 'E_DVAE_NO_ENCODER',
          where: this.#where,
          fix: 'use one with its encoder',
        },
      );
    const length = imageSize ** 2 * 3;
    const options = {
      count: pixels.length / length,
      sizes: [architecture === 'vqgan' ? VQGAN_ENCODE_BATCH : ENCODE_BATCH],
      itemLength: this.grid ** 2,
      array: Int32Array,
    };
    return runInBatches(options, async (batch) => {
      const data = paddedBatch(pixels, batch, length, Uint8Array);
      const shape = [batch.size, imageSize, imageSize, 3];
      const { codes } = await this.#encode({ pixels: { dtype: 'uint8', shape, data } });
      return codes.data as Int32Array;
    });
  }

  /** Whether the codes can be relaxed, as in training. */
  get hasRelaxedCodes(): boolean {
    return this.#relaxed !== undefined;
  }

  /**
   * Mean squared error of images decoded from a sample of their relaxed codes, as in training; pixels in [0, 1].
   * @param pixels RGB, count × imageSize × imageSize × 3
   * @param temperature τ of the Gumbel-softmax
   * @param seed of the Gumbel noise
   */
  async relaxedError(pixels: Uint8Array, temperature: number, seed: number): Promise<number> {
    if (!this.#relaxed) throw new Error('the codes of this dVAE cannot be relaxed');
    const { imageSize } = this.config;
    const length = imageSize ** 2 * 3;
    const count = pixels.length / length;
    let sum = 0;
    for (let start = 0; start < count; start += ENCODE_BATCH) {
      const data = pixels.subarray(start * length, (start + ENCODE_BATCH) * length);
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
   * The images of codes. An image does not depend on the others, bit for bit.
   * @param codes count × grid × grid, each below the vocabulary
   * @returns RGB, count × imageSize × imageSize × 3
   */
  async decode(codes: Int32Array): Promise<Uint8Array> {
    const { imageSize } = this.config;
    const length = this.grid ** 2;
    const options = {
      count: codes.length / length,
      sizes: [DECODE_BATCH],
      itemLength: imageSize ** 2 * 3,
      array: Uint8Array,
    };
    return runInBatches(options, async (batch) => {
      const data = paddedBatch(codes, batch, length, Int32Array);
      const { pixels } = await this.#decode({
        codes: { dtype: 'int32', shape: [batch.size, this.grid, this.grid], data },
      });
      return Uint8Array.from(pixels.data as Float32Array, Math.round);
    });
  }
}
