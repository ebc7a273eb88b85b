// The model of the train-step bench: a DALL·E-shaped Transformer in plain tfjs, 6.9 M parameters, as large as two
// cores train in about a second a step. Both sides run this function; they differ only in the `Ops` they give it.
//   B batch, T text tokens, I image tokens, N = T + I, D width, H heads, d width of a head, V vocabulary

import type { HostTensor } from '../../src/engine/native/tensor.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor3D,
  tf,
} from '../../src/engine/tfjs/tf.ts';
import { constant, flatten, type Initializer, normal, type Parameters } from '../../src/nn/parameters.ts';
import { RandomStream } from '../../src/util/random.ts';

const WIDTH = 256;
const HEADS = 4;
const BATCH = 8;
const TEXT = { length: 64, vocabulary: 4096 };
const IMAGE = { length: 256, vocabulary: 1024 };
const LENGTH = TEXT.length + IMAGE.length;
const STDDEV = 0.02;
const IMAGE_LOSS_WEIGHT = 7 / 8;

export const ADAM = { learningRate: 3e-4, beta1: 0.9, beta2: 0.96, epsilon: 1e-8 };
export const TOKENS_PER_STEP = BATCH * LENGTH;

/** What a side may do its own way. */
export interface Ops {
  gather(table_VD: Tensor, ids_BN: Tensor): Tensor;
  /** Of each row. */
  crossEntropy(logits_NV: Tensor2D, labels_N: Tensor1D): Tensor1D;
  layerNorm(x: Tensor, gain: Tensor, bias: Tensor): Tensor;
  gelu(x: Tensor): Tensor;
}

const norm = { gain: constant([WIDTH], 1), bias: constant([WIDTH], 0) };
const block = {
  attentionNorm: norm,
  queryKeyValue: normal([WIDTH, 3 * WIDTH], STDDEV),
  attentionOut: normal([WIDTH, WIDTH], STDDEV),
  feedForwardNorm: norm,
  expand: normal([WIDTH, 8 * WIDTH], STDDEV),
  expandBias: constant([8 * WIDTH], 0),
  contract: normal([4 * WIDTH, WIDTH], STDDEV),
  contractBias: constant([WIDTH], 0),
};
export const TRANSFORMER = {
  textTable: normal([TEXT.vocabulary, WIDTH], STDDEV),
  textPosition: normal([TEXT.length, WIDTH], STDDEV),
  imageTable: normal([IMAGE.vocabulary, WIDTH], STDDEV),
  imagePosition: normal([IMAGE.length, WIDTH], STDDEV),
  blocks: { first: block, second: block, third: block, fourth: block },
  finalNorm: norm,
  textHead: normal([WIDTH, TEXT.vocabulary], STDDEV),
  imageHead: normal([WIDTH, IMAGE.vocabulary], STDDEV),
};
export type TransformerParameters = Parameters<typeof TRANSFORMER>;

/** The same weights in every process, by parameter name. */
export function initialWeights(): Map<string, HostTensor> {
  return new Map(
    flatten(TRANSFORMER).map(([name, { shape, init }]) => {
      const random = new RandomStream('bench', 'weights', name);
      const length = shape.reduce((a, b) => a * b, 1);
      const data = Float32Array.from({ length }, () => draw(init, random));
      return [name, { dtype: 'float32', shape, data }];
    }),
  );
}

function draw(init: Initializer, random: RandomStream): number {
  if (init.kind === 'constant') return init.value;
  if (init.kind === 'normal') return init.stddev * random.normal();
  return random.uniform(-init.limit, init.limit);
}

export interface Tokens {
  readonly data: Int32Array;
  readonly shape: [number, number];
}

/** The batch of a step: the same in every process. */
export function batch(step: number): { text: Tokens; image: Tokens } {
  const tokens = (purpose: string, { length, vocabulary }: typeof TEXT): Tokens => {
    const random = new RandomStream('bench', purpose, step);
    const data = Int32Array.from({ length: BATCH * length }, () => random.integer(vocabulary));
    return { data, shape: [BATCH, length] };
  };
  return { text: tokens('text', TEXT), image: tokens('image', IMAGE) };
}

/** 0 where a position may look, and far below elsewhere. */
export function causalMask(): Tensor2D {
  const entry = (_: unknown, i: number): number => (i % LENGTH > Math.floor(i / LENGTH) ? -1e9 : 0);
  return tf.tensor2d(Float32Array.from({ length: LENGTH * LENGTH }, entry), [LENGTH, LENGTH]);
}

const rows = (x: Tensor): Tensor2D => x.reshape([-1, WIDTH]);

function attention(p: Parameters<typeof block>, h_BND: Tensor, mask_NN: Tensor2D): Tensor {
  const d = WIDTH / HEADS;
  const qkv = tf.matMul(rows(h_BND), p.queryKeyValue).reshape([BATCH, LENGTH, 3, HEADS, d]);
  const [q_BHNd, k_BHNd, v_BHNd] = tf.unstack(qkv.transpose([2, 0, 3, 1, 4])) as [Tensor, Tensor, Tensor];
  const scores_BHNN = tf
    .matMul(q_BHNd, k_BHNd, false, true)
    .mul(d ** -0.5)
    .add(mask_NN);
  const mixed_BNHd = tf.matMul(tf.softmax(scores_BHNN), v_BHNd).transpose([0, 2, 1, 3]);
  return tf.matMul(rows(mixed_BNHd), p.attentionOut).reshape([BATCH, LENGTH, WIDTH]);
}

/** With a gated GELU (arXiv 2002.05202), as DALLE-pytorch has it. */
function feedForward(ops: Ops, p: Parameters<typeof block>, h_BND: Tensor): Tensor {
  const expanded = tf.matMul(rows(h_BND), p.expand).add(p.expandBias);
  const [value, gate] = tf.split(expanded, 2, 1) as [Tensor, Tensor];
  const contracted = tf.matMul(value.mul(ops.gelu(gate)), p.contract).add(p.contractBias);
  return contracted.reshape([BATCH, LENGTH, WIDTH]);
}

/** The joint loss of DALL·E: next-token cross entropy, text and image weighted 1 : 7. */
export function loss(
  ops: Ops,
  p: TransformerParameters,
  text_BT: Tensor,
  image_BI: Tensor,
  mask_NN: Tensor2D,
): Scalar {
  const normalize = (x: Tensor, { gain, bias }: Parameters<typeof norm>): Tensor =>
    ops.layerNorm(x, gain, bias);
  const text_BTD = ops.gather(p.textTable, text_BT).add(p.textPosition);
  const image_BID = ops.gather(p.imageTable, image_BI).add(p.imagePosition);
  let x_BND: Tensor = tf.concat([text_BTD, image_BID] as Tensor3D[], 1);
  for (const b of Object.values(p.blocks)) {
    x_BND = x_BND.add(attention(b, normalize(x_BND, b.attentionNorm), mask_NN));
    x_BND = x_BND.add(feedForward(ops, b, normalize(x_BND, b.feedForwardNorm)));
  }
  x_BND = normalize(x_BND, p.finalNorm);
  /** Predicts the tokens one after positions `from`, `from` + 1, … */
  const predict = (from: number, labels: Tensor, head: Tensor): Tensor => {
    const hidden = x_BND.slice([0, from, 0], [BATCH, labels.shape[1] as number, WIDTH]);
    return ops.crossEntropy(tf.matMul(rows(hidden), head as Tensor2D), labels.reshape([-1])).mean();
  };
  const textLoss = predict(0, text_BT.slice([0, 1], [BATCH, TEXT.length - 1]), p.textHead);
  const imageLoss = predict(TEXT.length - 1, image_BI, p.imageHead);
  return textLoss.mul(1 - IMAGE_LOSS_WEIGHT).add(imageLoss.mul(IMAGE_LOSS_WEIGHT));
}
