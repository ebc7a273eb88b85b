// Compares VQGANs of the published shapes with taming-transformers' and diffusers', one after the other: the same random
// weights, converted, and the same images. PYTHON has torch, taming-transformers-rom1504 and diffusers. Each takes a few
// minutes, 4 GB of memory and 700 MB in a temporary folder.
//
//   node --import tsx scripts/check/vqgan.ts PYTHON [f16-1024] [f16-16384] [gumbel-f8] [vq-f4] [vq-f8] [vq-f8-n256] [amused]

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TensorData } from '../../src/checkpoint/dtype.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.ts';
import { dvaeCheckpointSchema } from '../../src/config/dvae.ts';
import { convertWeights } from '../../src/convert/convert.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { DvaeCodec } from '../../src/inference/dvae/codec.ts';
import { decodeCodes, features, toSigned, vqganSpec } from '../../src/models/vqgan/model.ts';
import { Weights } from '../../src/nn/weights.ts';
import { UsageError } from '../../src/util/errors.ts';
import { runProgram, runScript } from '../bench/script.ts';

const PEER = fileURLToPath(new URL('vqgan_peer.py', import.meta.url));
const NAMES = ['f16-1024', 'f16-16384', 'gumbel-f8', 'vq-f4', 'vq-f8', 'vq-f8-n256', 'amused'];
const TOLERANCE = 1e-4;
const EQUAL_CODES = 0.9999;

/** The largest difference over the root mean square. */
function relative(actual: Float32Array, wanted: Float32Array): number {
  let [largest, squares] = [0, 0];
  for (const [i, value] of wanted.entries()) {
    const difference = Math.abs((actual[i] as number) - value);
    if (!(difference <= largest)) largest = difference;
    squares += value ** 2;
  }
  return largest / Math.sqrt(squares / wanted.length);
}

/** Of a tensor's first axis, item `i`. */
const item = ({ dtype, shape, data }: TensorData, i: number) => {
  const length = data.length / (shape[0] as number);
  const part = data.subarray(i * length, (i + 1) * length);
  return { dtype, shape: [1, ...shape.slice(1)], data: part } as never;
};

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}

/**
 * How much farther than code `theirs` code `ours` is from vector `i`, over |z|² + |e|²: in 64 bits, where the peer's
 * sums of these squares in 32 bits have an error of about 1e-7. Negative where ours is nearer.
 */
function excess(
  features: Float32Array,
  codebook: Float32Array,
  width: number,
  i: number,
  ours: number,
  theirs: number,
): number {
  const vector = features.subarray(i * width, (i + 1) * width);
  const distance = (code: number): number =>
    vector.reduce((sum, value, c) => sum + (value - (codebook[code * width + c] as number)) ** 2, 0);
  const size = (code: number): number =>
    vector.reduce((sum, value, c) => sum + value ** 2 + (codebook[code * width + c] as number) ** 2, 0);
  return (distance(ours) - distance(theirs)) / size(theirs);
}

async function compare(python: string, name: string): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'mm-vqgan-'));
  const runtime = new Runtime();
  try {
    await runProgram(python, [PEER, name, folder]);
    const to = join(folder, 'converted');
    await convertWeights([join(folder, 'model')], to, {});
    const checkpoint = await readCheckpoint(to, { kind: 'dvae', warn: console.error });
    const config = checkpoint.config(dvaeCheckpointSchema).model;
    if (config.architecture !== 'vqgan') throw new Error(`converted to ${config.architecture}`);
    const file = await SafetensorsFile.open(join(folder, 'expected.safetensors'));
    const theirs = await file.readAll().finally(() => file.close());
    const [pixels, codes] = [theirs.get('pixels') as TensorData, theirs.get('codes') as TensorData];
    const weights = new Weights(runtime, 'vqgan', vqganSpec(config));
    await weights.load(await checkpoint.read('model', weights.expected()));
    const encode = runtime.compile('features', ({ pixels }: { pixels: Tensor }) => ({
      features: features(weights.read(), toSigned(tf.div(pixels, 255) as Tensor4D), config),
    }));
    const decode = runtime.compile('decoded', ({ codes }: { codes: Tensor }) => ({
      decoded: decodeCodes(weights.read(), codes as Tensor3D, config),
    }));
    const count = pixels.shape[0] as number;
    const made: { features: Float32Array[]; decoded: Float32Array[] } = { features: [], decoded: [] };
    for (let i = 0; i < count; i++) {
      made.features.push((await encode({ pixels: item(pixels, i) })).features.data as Float32Array);
      made.decoded.push((await decode({ codes: item(codes, i) })).decoded.data as Float32Array);
    }
    const z = relative(joined(made.features), theirs.get('features')?.data as Float32Array);
    const x = relative(joined(made.decoded), theirs.get('decoded')?.data as Float32Array);
    const codec = await DvaeCodec.open(runtime, checkpoint);
    const own = await codec.encode(pixels.data as Uint8Array);
    const different = [...own.keys()].filter((i) => own[i] !== codes.data[i]);
    const equal = 1 - different.length / own.length;
    console.log(
      `${name}: features differ by ${z.toExponential(1)}, decoded pixels by ${x.toExponential(1)} of their size; ` +
        `${own.length} codes (${new Set(own).size} different), ${(100 * equal).toFixed(3)} % equal`,
    );
    if (different.length > 0 && config.quantizer === 'nearest') {
      const codebook = (await checkpoint.read('model')).get('codebook')?.data as Float32Array;
      const features = theirs.get('features')?.data as Float32Array;
      const lost = different.map((i) =>
        excess(features, codebook, config.codebookDim, i, own[i] as number, Number(codes.data[i])),
      );
      console.log(
        `  distances that differ: ours is farther by ${lost.map((each) => each.toExponential(1)).join(', ')}`,
      );
    }
    return z < TOLERANCE && x < TOLERANCE && equal >= EQUAL_CODES;
  } finally {
    await runtime.close();
    await rm(folder, { recursive: true });
  }
}

await runScript(async () => {
  const [python, ...named] = process.argv.slice(2);
  if (python === undefined)
    throw new UsageError('give the Python that has taming-transformers', { code: 'E_ARGUMENT_MISSING' });
  for (const name of named.length > 0 ? named : NAMES)
    if (!(await compare(python, name))) process.exitCode = 1;
});
