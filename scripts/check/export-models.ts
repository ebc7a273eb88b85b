// Models of export.ts: small ones of random weights, and the formats that each goes to.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { readCheckpoint } from '../../src/checkpoint/read.ts';
import type { TensorSource } from '../../src/checkpoint/safetensors.ts';
import { writeCheckpoint } from '../../src/checkpoint/write.ts';
import { clipModelSchema } from '../../src/config/clip.ts';
import { dalleModelSchema } from '../../src/config/dalle-model.ts';
import { dvaeModelSchema } from '../../src/config/dvae.ts';
import type { ModelKind } from '../../src/config/kind.ts';
import type { ExportFormat } from '../../src/export/formats.ts';
import { clipSpec } from '../../src/models/clip/model.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { imageTokenizer } from '../../src/models/dvae/architecture.ts';
import { flatten, type SpecTree } from '../../src/nn/parameters.ts';
import { loadTokenizer } from '../../src/tokenizers/load.ts';
import type { Tokenizer } from '../../src/tokenizers/tokenizer.ts';
import { trainBpe } from '../../src/tokenizers/train.ts';
import { RandomStream } from '../../src/util/random.ts';
import { sizeOf } from '../../src/util/shape.ts';

export const TEXTS = [
  'a photo of a cat',
  "The dog's ball, it's 42 metres away!",
  'a red triangle above two blue circles on a white ground',
];

export interface Model {
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

export const MODELS: Readonly<Record<string, Model>> = {
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

/** Writes a checkpoint of a model with random weights, and opens it. */
export async function writeModel(
  path: string,
  name: string,
  folder: string,
  merges: string,
): Promise<Checkpoint> {
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
