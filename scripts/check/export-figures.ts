// Figures of export.ts: what mm computes with a checkpoint, for the other program to compare with.

import { z } from 'zod';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { clipModelSchema } from '../../src/config/clip.ts';
import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dvaeModelSchema } from '../../src/config/dvae.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import type { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { clipSpec, encodeImage, encodeText, normalizePixels } from '../../src/models/clip/model.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { imageTokenizer } from '../../src/models/dvae/architecture.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';
import { TEXTS } from './export-models.ts';

const IMAGES = 3;

/** What mm computes, by name. */
type Figures = Record<string, HostTensor>;

const integers = (count: number, below: number, shape: readonly number[], purpose: string): HostTensor => {
  const random = new RandomStream(1, purpose);
  const data = Int32Array.from({ length: count }, () => Math.floor(random.uniform() * below));
  return { dtype: 'int32', shape, data };
};
const pixelsOf = (size: number): HostTensor => {
  const shape = [IMAGES, size, size, 3];
  const { data } = integers(sizeOf(shape), 256, shape, 'pixels');
  return { dtype: 'uint8', shape, data: Uint8Array.from(data as Int32Array) };
};

async function clipFigures(runtime: Runtime, checkpoint: Checkpoint): Promise<Figures> {
  const config = checkpoint.config(looseModel(clipModelSchema)).model;
  const weights = new Weights(runtime, checkpoint.path, clipSpec(config));
  await weights.loadEach(checkpoint.tensors('model', { expected: weights.expected() }));
  const tokenizer = await loadTokenizer(checkpoint.tokenizerFile);
  const pixels = pixelsOf(config.image.size);
  const texts = textBatch(
    TEXTS.map((text) => textTokens(text, tokenizer, config, true)),
    config,
  );
  const images = runtime.compile('images', ({ pixels }: { pixels: Tensor }) => ({
    features: encodeImage(weights.read().image, normalizePixels(pixels, config.image), config),
  }));
  const written = runtime.compile('texts', ({ text, mask }: { text: Tensor; mask: Tensor }) => ({
    features: encodeText(weights.read().text, text as Tensor2D, mask as Tensor2D, config),
  }));
  return {
    pixels,
    ...texts,
    imageFeatures: (await images({ pixels })).features,
    textFeatures: (await written(texts)).features,
    mean: floats(config.image.mean),
    stddev: floats(config.image.stddev),
  };
}

const floats = (values: readonly number[]): HostTensor => ({
  dtype: 'float32',
  shape: [values.length],
  data: Float32Array.from(values),
});

async function dvaeFigures(runtime: Runtime, checkpoint: Checkpoint): Promise<Figures> {
  const config = checkpoint.config(looseModel(dvaeModelSchema)).model;
  const { spec, grid, encode, decodeCodes } = imageTokenizer(config);
  const weights = new Weights(runtime, checkpoint.path, spec);
  await weights.loadEach(checkpoint.tensors('model', { expected: weights.expected() }));
  const pixels = pixelsOf(config.imageSize);
  const codes = integers(IMAGES * grid ** 2, config.vocabulary, [IMAGES, grid, grid], 'codes');
  const encoded = runtime.compile('encode', ({ pixels }: { pixels: Tensor }) => {
    const logits = encode(weights.read(), tf.div(pixels, 255) as Tensor4D);
    return { logits, codes: tf.argMax(logits, -1) };
  });
  const decoded = runtime.compile('decode', ({ codes }: { codes: Tensor }) => ({
    pixels: tf.mul(decodeCodes(weights.read(), codes as Tensor3D), 255),
  }));
  const made = await encoded({ pixels });
  return {
    pixels,
    logits: made.logits,
    encoded: made.codes,
    codes,
    decoded: (await decoded({ codes })).pixels,
  };
}

async function dalleFigures(runtime: Runtime, checkpoint: Checkpoint): Promise<Figures> {
  const config = checkpoint.config(looseModel(dalleModelSchema)).model;
  const weights = new Weights(runtime, checkpoint.path, dalleSpec(config));
  await weights.loadEach(checkpoint.tensors('model', { expected: weights.expected() }));
  const raw = integers(2 * 5, config.textVocabulary, [2, 5], 'text').data as Int32Array;
  const rows = [raw.slice(0, 5), raw.slice(5)];
  const text: HostTensor = {
    dtype: 'int32',
    shape: [2, config.textLength],
    data: Int32Array.from(
      rows.flatMap((row) => [...row, ...new Array(config.textLength - row.length).fill(0)]),
    ),
  };
  const padded: HostTensor = {
    ...text,
    data: Int32Array.from(rows.flatMap((row) => [...padCaption(row, config)])),
  };
  const image = integers(2 * config.grid ** 2, config.imageVocabulary, [2, config.grid ** 2], 'image');
  const run = runtime.compile('logits', ({ text, image }: { text: Tensor; image: Tensor }) => {
    const { text_BTV, image_BIV } = logits(weights.read(), text as Tensor2D, image as Tensor2D, config);
    return { textLogits: text_BTV, imageLogits: image_BIV };
  });
  const inner = await dvaeFigures(runtime, await checkpoint.dvae());
  const vae = { vaePixels: inner.pixels as HostTensor, vaeCodes: inner.encoded as HostTensor };
  return { text, image, ...vae, ...(await run({ text: padded, image })) };
}

export const FIGURES = { clip: clipFigures, dvae: dvaeFigures, dalle: dalleFigures } as const;

const looseModel = <S extends z.ZodType>(model: S) =>
  z.looseObject({ model }) as never as z.ZodObject<{ model: S }>;
