// CLIP's modified ResNet (arXiv 2103.00020, section 2.4): a stem of three convolutions, average pooling in place of
// strides, and attention pooling in place of the mean.
//   B batch, H height, W width, C channels, N = H · W + 1 positions, E embedding, A heads, d width of a head

import type { ClipImageConfig } from '../../config/clip.ts';
import { RESNET_GROWTH, RESNET_STRIDE } from '../../config/clip-towers.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { type BatchNormSpec, type BatchStatistics, batchNorm, batchNormSpec } from '../../nn/batch-norm.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import { type LinearSpec, linear, linearSpec } from '../../nn/linear.ts';
import { normal, type ParameterSpec, type Parameters } from '../../nn/parameters.ts';

type UnitSpec = { readonly weight: ParameterSpec; readonly norm: BatchNormSpec };
type BottleneckSpec =
  | Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', UnitSpec>>
  | Readonly<Record<'conv_1' | 'conv_2' | 'conv_3' | 'shortcut', UnitSpec>>;
type StageSpec = { readonly [block: `block_${number}`]: BottleneckSpec };
type PoolSpec = { readonly position: ParameterSpec } & Readonly<
  Record<'query' | 'key' | 'value' | 'output', LinearSpec>
>;
export type ResnetSpec = {
  readonly stem: Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', UnitSpec>>;
  readonly stage_1: StageSpec;
  readonly stage_2: StageSpec;
  readonly stage_3: StageSpec;
  readonly stage_4: StageSpec;
  readonly pool: PoolSpec;
};
export type ResnetParameters = Parameters<ResnetSpec>;

/** A bottleneck's output is this many times as wide as its inside. */
const EXPANSION = 4;
const STAGES = [1, 2, 3, 4] as const;

/** A convolution without a bias, and its batch norm. He's initialization. */
const unit = (inputs: number, outputs: number, size: number, gain = 1): UnitSpec => ({
  weight: normal([size, size, inputs, outputs], Math.sqrt(2 / (inputs * size ** 2))),
  norm: batchNormSpec(outputs, gain),
});

/** The gain of a bottleneck's last norm starts at 0, so that training starts near the identity (openai/CLIP). */
function bottleneckSpec(inputs: number, width: number, strides: boolean): BottleneckSpec {
  const outputs = width * EXPANSION;
  return {
    conv_1: unit(inputs, width, 1),
    conv_2: unit(width, width, 3),
    conv_3: unit(width, outputs, 1, 0),
    ...((strides || inputs !== outputs) && { shortcut: unit(inputs, outputs, 1) }),
  };
}

function stageSpec(inputs: number, width: number, blocks: number, strides: boolean): StageSpec {
  return Object.fromEntries(
    Array.from({ length: blocks }, (_, i) => [
      `block_${i + 1}`,
      bottleneckSpec(i === 0 ? inputs : width * EXPANSION, width, strides && i === 0),
    ]),
  );
}

/** The parameters of the image tower. */
export function resnetSpec({ size, width, blocks }: ClipImageConfig, embedding: number): ResnetSpec {
  const features = width * RESNET_GROWTH;
  const stddev = features ** -0.5;
  const stage = (n: 1 | 2 | 3 | 4): StageSpec =>
    stageSpec(n === 1 ? width : width * 2 ** n, width * 2 ** (n - 1), blocks[n - 1] as number, n > 1);
  return {
    stem: {
      conv_1: unit(3, width / 2, 3),
      conv_2: unit(width / 2, width / 2, 3),
      conv_3: unit(width / 2, width, 3),
    },
    stage_1: stage(1),
    stage_2: stage(2),
    stage_3: stage(3),
    stage_4: stage(4),
    pool: {
      position: normal([(size / RESNET_STRIDE) ** 2 + 1, features], stddev),
      query: linearSpec(features, features, stddev),
      key: linearSpec(features, features, stddev),
      value: linearSpec(features, features, stddev),
      output: linearSpec(features, embedding, stddev),
    },
  };
}

const averagePool = (x: Tensor4D): Tensor4D => tf.avgPool(x, 2, 2, 'valid');

/** Zeros on all sides keep the size at stride 1; at stride 2 they stand as PyTorch puts them. */
function convolve(weight: Tensor, x: Tensor4D, stride: 1 | 2): Tensor4D {
  const [kernel, , inputs, outputs] = weight.shape as [number, number, number, number];
  const [batch, height, width] = x.shape;
  if (kernel === 1)
    return tf.reshape(tf.matMul(tf.reshape(x, [-1, inputs]), kernelMatrix(weight)), [
      batch,
      height,
      width,
      outputs,
    ]);
  if (stride === 1) return tf.conv2d(x, weight as Tensor4D, 1, 'same');
  const padded = tf.pad(x, [
    [0, 0],
    [1, 1],
    [1, 1],
    [0, 0],
  ]);
  return tf.conv2d(padded, weight as Tensor4D, stride, 'valid');
}

function bottleneck(
  p: Parameters<BottleneckSpec>,
  x: Tensor4D,
  strides: boolean,
  statistics?: BatchStatistics,
): Tensor4D {
  const apply = (unit: Parameters<UnitSpec>, input: Tensor4D): Tensor4D =>
    batchNorm(unit.norm, convolve(unit.weight, input, 1), statistics) as Tensor4D;
  const reduce = (y: Tensor4D): Tensor4D => (strides ? averagePool(y) : y);
  const inner = tf.relu(apply(p.conv_2, tf.relu(apply(p.conv_1, x))));
  const residual = apply(p.conv_3, reduce(inner));
  const identity = 'shortcut' in p ? apply(p.shortcut, reduce(x)) : x;
  return tf.relu(tf.add(identity, residual));
}

/** One query, the mean of all places, attends to the places and to itself; x_BHWC → BE. */
function attentionPool(p: Parameters<PoolSpec>, x: Tensor4D, heads: number): Tensor2D {
  const [batch, height, width, channels] = x.shape;
  const places = tf.reshape(x, [batch, height * width, channels]);
  const mean = tf.mean(places, 1, true);
  const x_BNC = tf.add(tf.concat([mean, places], 1), p.position);
  const perHead = (y: Tensor): Tensor =>
    tf.transpose(tf.reshape(y, [batch, -1, heads, channels / heads]), [0, 2, 1, 3]);
  const queries = perHead(linear(p.query, tf.slice(x_BNC, [0, 0, 0], [batch, 1, channels])));
  const scores = tf.matMul(
    tf.mul(queries, (channels / heads) ** -0.5),
    perHead(linear(p.key, x_BNC)),
    false,
    true,
  );
  const attended = tf.matMul(tf.softmax(scores), perHead(linear(p.value, x_BNC)));
  return linear(p.output, tf.reshape(attended, [batch, channels])) as Tensor2D;
}

/**
 * Images → features, before they are normalized.
 * @param x normalized pixels, [B, size, size, 3]
 * @param statistics when training
 * @returns [B, E]
 */
export function resnet(
  p: ResnetParameters,
  x: Tensor4D,
  heads: number,
  statistics?: BatchStatistics,
): Tensor2D {
  const stem = (unit: Parameters<UnitSpec>, input: Tensor4D, stride: 1 | 2): Tensor4D =>
    tf.relu(batchNorm(unit.norm, convolve(unit.weight, input, stride), statistics)) as Tensor4D;
  const { conv_1, conv_2, conv_3 } = p.stem;
  let h = averagePool(stem(conv_3, stem(conv_2, stem(conv_1, x, 2), 1), 1));
  for (const n of STAGES)
    for (const [i, block] of Object.values(p[`stage_${n}`]).entries())
      h = bottleneck(block, h, n > 1 && i === 0, statistics);
  return attentionPool(p.pool, h, heads);
}
