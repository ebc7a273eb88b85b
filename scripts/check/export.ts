// Exports small models with random weights to every format, opens the files with the programs that they are for, and
// compares what those compute with what mm does. PYTHON has torch, transformers, open_clip, dalle_pytorch, dall_e,
// taming-transformers-rom1504, diffusers and tokenizers; PYTHON-TF has tensorflow.
//
//   node --import tsx scripts/check/export.ts PYTHON PYTHON-TF [NAME…]

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import { type TensorSource, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { clipModelSchema } from '../../src/config/clip.ts';
import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dvaeModelSchema } from '../../src/config/dvae.ts';
import type { ModelKind } from '../../src/config/kind.ts';
import type { HostTensor } from '../../src/engine/native/tensor.ts';
import { Runtime } from '../../src/engine/session/runtime.ts';
import { type Tensor, type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../src/engine/tfjs/tf.ts';
import { exportModel } from '../../src/export/export.ts';
import type { ExportFormat } from '../../src/export/formats.ts';
import { clipSpec, encodeImage, encodeText, normalizePixels } from '../../src/models/clip/model.ts';
import { textBatch, textTokens } from '../../src/models/clip/text.ts';
import { padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec, logits } from '../../src/models/dalle/model.ts';
import { imageTokenizer } from '../../src/models/dvae/architecture.ts';
import { flatten, type SpecTree } from '../../src/nn/parameters.ts';
import { Weights } from '../../src/nn/weights.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import type { Tokenizer } from '../../src/tokenizers/tokenizer.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { UsageError } from '../../src/util/errors.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';
import { runScript } from '../bench/script.ts';

const PEER = fileURLToPath(new URL('export_peer.py', import.meta.url));
const IMAGES = 3;
const TEXTS = [
  'a photo of a cat',
  "The dog's ball, it's 42 metres away!",
  'a red triangle above two blue circles on a white ground',
];

interface Model {
  readonly kind: ModelKind;
  readonly model: object;
  readonly tokenizer?: 'own' | 'clip' | 'words';
  readonly dvae?: string;
  readonly to: readonly ExportFormat[];
}

const tower = { width: 128, heads: 2, layers: 2 };
const vit = { image: { ...tower, size: 32, patch: 8 }, text: tower, embedding: 48 };
const dalle = {
  ...{
    textLength: 8,
    textVocabulary: 24,
    grid: 4,
    imageVocabulary: 32,
    width: 24,
    layers: 4,
    heads: 2,
    headWidth: 12,
  },
  ...{ gated: true, layerScale: true, zeroIsPadding: true, paddingTargets: 'each', attentionBias: false },
};
const vqgan = {
  architecture: 'vqgan',
  ...{
    imageSize: 64,
    hiddenChannels: 32,
    levelChannels: [32, 64, 64],
    resnetBlocks: 1,
    attentionLevels: [3],
  },
  ...{ latentChannels: 16, codebookDim: 16, vocabulary: 48 },
};

const MODELS: Readonly<Record<string, Model>> = {
  clip: {
    kind: 'clip',
    model: vit,
    tokenizer: 'clip',
    to: ['transformers', 'open-clip', 'openai', 'saved-model', 'tokenizer'],
  },
  'clip, own tokenizer': {
    kind: 'clip',
    model: { ...vit, activation: 'gelu' },
    tokenizer: 'own',
    to: ['transformers', 'open-clip', 'tokenizer'],
  },
  'clip, squashed images, wide feed-forward': {
    kind: 'clip',
    model: {
      ...vit,
      activation: 'gelu',
      image: {
        ...vit.image,
        mlpRatio: 3,
        normEpsilon: 1e-6,
        resize: 'squash',
        interpolation: 'bilinear',
        mean: [0.5, 0.5, 0.5],
        stddev: [0.5, 0.25, 0.5],
      },
    },
    tokenizer: 'clip',
    to: ['transformers', 'open-clip'],
  },
  'clip, pooled patches': {
    kind: 'clip',
    model: {
      ...vit,
      activation: 'gelu',
      image: { ...vit.image, inputNorm: false, pool: 'mean', layerScale: 0.1 },
      text: { ...tower, causal: false, pool: 'last', mlpRatio: 2.5 },
    },
    tokenizer: 'clip',
    to: ['open-clip', 'saved-model'],
  },
  'clip, resnet': {
    kind: 'clip',
    model: { ...vit, image: { tower: 'resnet', size: 64, width: 16, blocks: [1, 2, 1, 1], heads: 8 } },
    tokenizer: 'clip',
    to: ['open-clip', 'openai', 'saved-model'],
  },
  'clip, dalle-pytorch': {
    kind: 'clip',
    model: {
      architecture: 'dalle-pytorch',
      embedding: 48,
      image: { ...tower, size: 32, patch: 8, mean: [0, 0, 0], stddev: [1, 1, 1] },
      text: { ...tower, vocabulary: 300, length: 12 },
    },
    tokenizer: 'own',
    to: ['dalle-pytorch', 'saved-model'],
  },
  'dvae, openai': {
    kind: 'dvae',
    model: {
      architecture: 'openai',
      imageSize: 32,
      groups: 4,
      blocksPerGroup: 1,
      hiddenChannels: 64,
      decoderInput: 16,
      vocabulary: 512,
    },
    to: ['openai', 'saved-model'],
  },
  'dvae, dalle-pytorch': {
    kind: 'dvae',
    model: {
      architecture: 'dalle-pytorch',
      ...{ imageSize: 16, layers: 2, resnetBlocks: 1, hiddenChannels: 16, codebookDim: 12, vocabulary: 32 },
    },
    to: ['dalle-pytorch', 'saved-model'],
  },
  'vqgan, nearest': { kind: 'dvae', model: vqgan, to: ['taming', 'diffusers', 'saved-model'] },
  'vqgan, gumbel': { kind: 'dvae', model: { ...vqgan, quantizer: 'gumbel' }, to: ['taming', 'saved-model'] },
  dalle: {
    kind: 'dalle',
    model: { ...dalle, attention: ['full', 'axial-row', 'column', 'conv-like'], kernelSize: 5 },
    tokenizer: 'words',
    dvae: 'dvae, dalle-pytorch',
    to: ['dalle-pytorch'],
  },
  'dalle, every option': {
    kind: 'dalle',
    model: {
      ...dalle,
      attention: ['full', 'column'],
      ...{ rotary: true, tokenShift: true, stable: true, sandwichNorm: true, reversible: true },
      sharedFeedForward: [0, 1, 0],
    },
    tokenizer: 'words',
    dvae: 'dvae, dalle-pytorch',
    to: ['dalle-pytorch'],
  },
  'dalle, tied': {
    kind: 'dalle',
    model: { ...dalle, attention: ['full'], tiedEmbeddings: true, sharedAttention: [0, 1] },
    tokenizer: 'words',
    dvae: 'dvae, dalle-pytorch',
    to: ['dalle-pytorch'],
  },
};

function randomWeights(spec: SpecTree): [string, TensorSource][] {
  return flatten(spec).map(([name, { shape, init }]) => {
    const random = new RandomStream(1, name);
    const middle = init.kind === 'constant' ? init.value : 0;
    const fan = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    const stddev = shape.length < 2 ? 0.1 : name === 'codebook' ? 1 : 1.2 / Math.sqrt(fan);
    const positive = name.endsWith('variance');
    const data = Float32Array.from({ length: sizeOf(shape) }, () => {
      const value = middle + stddev * random.normal();
      return positive ? Math.abs(value) + 0.5 : value;
    });
    return [name, { dtype: 'float32', shape, data }];
  });
}

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
  await weights.loadEach(checkpoint.tensors('model', weights.expected()));
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
  await weights.loadEach(checkpoint.tensors('model', weights.expected()));
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
  await weights.loadEach(checkpoint.tensors('model', weights.expected()));
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

const FIGURES = { clip: clipFigures, dvae: dvaeFigures, dalle: dalleFigures } as const;

const looseModel = <S extends z.ZodType>(model: S) =>
  z.looseObject({ model }) as never as z.ZodObject<{ model: S }>;

async function tokenizerOf(
  kind: NonNullable<Model['tokenizer']>,
  folder: string,
  merges: string,
): Promise<Tokenizer> {
  if (kind === 'clip') return loadTokenizer(merges);
  if (kind === 'own') return trainBpe(TEXTS, { vocabulary: 300 });
  const path = join(folder, 'words.json');
  const vocab = Object.fromEntries(['?', 'a', 'cat', 'dog'].map((word, id) => [word, id]));
  const model = { type: 'WordLevel', unk_token: '?', vocab };
  await writeFile(path, JSON.stringify({ version: '1.0', added_tokens: [], model }));
  return loadTokenizer(path);
}

async function writeModel(path: string, name: string, folder: string, merges: string): Promise<Checkpoint> {
  const { kind, model, tokenizer, dvae } = MODELS[name] as Model;
  const own = tokenizer && (await tokenizerOf(tokenizer, folder, merges));
  const isOwn = kind === 'clip' && tokenizer === 'own' && !('architecture' in model);
  const given = isOwn
    ? {
        ...model,
        text: { ...(model as { text: object }).text, vocabulary: (own as Tokenizer).vocabularySize + 2 },
      }
    : model;
  const schemas = { clip: clipModelSchema, dvae: dvaeModelSchema, dalle: dalleModelSchema } as const;
  const config = schemas[kind].parse(given) as never;
  const spec = { clip: clipSpec, dvae: (one: never) => imageTokenizer(one).spec, dalle: dalleSpec }[kind](
    config,
  );
  const weights = new Map(randomWeights(spec));
  // With tied embeddings and rotary positions, the start token is text token 0.
  await writeCheckpoint(path, {
    ...{ kind, step: 1, seed: 1, dataPosition: null, metrics: {} },
    config: { model: config, ...(kind === 'dalle' && { train: {} }) },
    model: weights,
    tokenizer: own,
    dvae: dvae === undefined ? undefined : await writeModel(`${path}-dvae`, dvae, folder, merges),
  });
  return readCheckpoint(path, { warn: console.warn });
}

await runScript(async () => {
  const [python, pythonTf, ...named] = process.argv.slice(2);
  if (python === undefined || pythonTf === undefined)
    throw new UsageError('give the Python of the peers, and that of TensorFlow', {
      code: 'E_ARGUMENT_MISSING',
    });
  const find =
    'import os, open_clip; print(os.path.join(os.path.dirname(open_clip.__file__), "bpe_simple_vocab_16e6.txt.gz"))';
  const merges = execFileSync(python, ['-c', find], { stdio: ['ignore', 'pipe', 'ignore'] })
    .toString()
    .trim();
  const folder = await mkdtemp(join(tmpdir(), 'mm-check-export-'));
  try {
    for (const name of named.length > 0 ? named : Object.keys(MODELS)) {
      const { kind, to } = MODELS[name] as Model;
      const path = join(folder, name.replaceAll(/\W+/g, '-'));
      const checkpoint = await writeModel(path, name, folder, merges);
      const runtime = new Runtime();
      const figures = await FIGURES[kind](runtime, checkpoint).finally(() => runtime.close());
      const expected = `${path}-expected.safetensors`;
      await writeSafetensors(expected, Object.entries(figures) as never, { texts: JSON.stringify(TEXTS) });
      for (const format of to) {
        const out = `${path}-${format}${format === 'tokenizer' ? '.json' : ''}`;
        const { notes } = await exportModel(path, {
          to: format,
          out,
          withoutCleaning: true,
          warn: console.warn,
        });
        const program = format === 'saved-model' ? pythonTf : python;
        try {
          const said = execFileSync(program, [PEER, format, kind, out, expected], {
            stdio: ['ignore', 'pipe', 'pipe'],
          });
          console.log(`${name} → ${format}: ${said.toString().trim().split('\n').at(-1)}`);
        } catch (error) {
          process.exitCode = 1;
          const { stderr } = error as { stderr: Buffer };
          console.log(
            `${name} → ${format}: FAILED\n${stderr.toString().trim().split('\n').slice(-12).join('\n')}`,
          );
        }
        for (const note of notes) console.log(`  ${note}`);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
