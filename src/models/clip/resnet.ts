// CLIP's modified ResNet (arXiv 2103.00020, section 2.4): a stem of three convolutions, average pooling instead of
// strides, and attention pooling instead of the mean.
//   B batch, H height, W width, C channels, N = H · W + 1 positions, E embedding

import type { ClipImageConfig } from '../../config/clip.ts';
import { RESNET_GROWTH, RESNET_STRIDE } from '../../config/clip-towers.ts';
import { type Tensor, type Tensor2D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import { type BatchNormSpec, type BatchStatistics, batchNorm, batchNormSpec } from '../../nn/batch-norm.ts';
import { kernelMatrix } from '../../nn/convolution.ts';
import { linearSpec } from '../../nn/linear.ts';
import { normal, type ParameterSpec, type Parameters, stackSpecs } from '../../nn/parameters.ts';
import { attentionPool, type PoolProjections } from './attention-pool.ts';

type UnitSpec = { readonly weight: ParameterSpec; readonly norm: BatchNormSpec };
type BottleneckSpec =
  | Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', UnitSpec>>
  | Readonly<Record<'conv_1' | 'conv_2' | 'conv_3' | 'shortcut', UnitSpec>>;
type StageSpec = { readonly [block: `block_${number}`]: BottleneckSpec };
type PoolSpec = PoolProjections & { readonly position: ParameterSpec };
export type ResnetSpec = {
  readonly stem: Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', UnitSpec>>;
  readonly stage_1: StageSpec;
  readonly stage_2: StageSpec;
  readonly stage_3: StageSpec;
  readonly stage_4: StageSpec;
  readonly pool: PoolSpec;
};
export type ResnetParameters = Parameters<ResnetSpec>;

/** Width of a bottleneck's output, in widths of its hidden channels. */
const EXPANSION = 4;
const STAGES = [1, 2, 3, 4] as const;

/** A convolution without bias, in He initialization (arXiv 1502.01852), and its batch norm. */
const unit = (inputs: number, outputs: number, size: number, gain = 1): UnitSpec => ({
  weight: normal([size, size, inputs, outputs], Math.sqrt(2 / (inputs * size ** 2))),
  norm: batchNormSpec(outputs, gain),
});

/** The gain of the last norm is initialized to 0, so that training starts near the identity (openai/CLIP). */
function bottleneckSpec(inputs: number, width: number, strides: boolean): BottleneckSpec {
  const outputs = width * EXPANSION;
  return {
    conv_1: unit(inputs, width, 1),
    conv_2: unit(width, width, 3),
    conv_3: unit(width, outputs, 1, 0),
    ...((strides || inputs !== outputs) && { shortcut: unit(inputs, outputs, 1) }),
  };
}

const stageSpec = (inputs: number, width: number, blocks: number, strides: boolean): StageSpec =>
  stackSpecs('block', blocks, (i) =>
    bottleneckSpec(i === 0 ? inputs : width * EXPANSION, width, strides && i === 0),
  );

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

const averagePool = (x_BHWC: Tensor4D): Tensor4D => tf.avgPool(x_BHWC, 2, 2, 'valid');

/** Convolution without bias. Zero padding keeps the size at stride 1; at stride 2 it is PyTorch's. */
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
  x_BHWC: Tensor4D,
  strides: boolean,
  statistics?: BatchStatistics,
): Tensor4D {
  const apply = (unit: Parameters<UnitSpec>, input: Tensor4D): Tensor4D =>
    batchNorm(unit.norm, convolve(unit.weight, input, 1), statistics) as Tensor4D;
  const reduce = (y: Tensor4D): Tensor4D => (strides ? averagePool(y) : y);
  const inner = tf.relu(apply(p.conv_2, tf.relu(apply(p.conv_1, x_BHWC))));
  const residual = apply(p.conv_3, reduce(inner));
  const identity = 'shortcut' in p ? apply(p.shortcut, reduce(x_BHWC)) : x_BHWC;
  return tf.relu(tf.add(identity, residual));
}

/** The mean of all pixels attends to the pixels and to itself; x_BHWC → BE. */
function poolPixels(p: Parameters<PoolSpec>, x_BHWC: Tensor4D, heads: number): Tensor2D {
  const [batch, height, width, channels] = x_BHWC.shape;
  const pixels = tf.reshape(x_BHWC, [batch, height * width, channels]);
  const mean_B1C = tf.mean(pixels, 1, true);
  const x_BNC = tf.add(tf.concat([mean_B1C, pixels], 1), p.position);
  return attentionPool(p, tf.slice(x_BNC, [0, 0, 0], [batch, 1, channels]), x_BNC, heads);
}

/**
 * Features of images, not yet of length 1.
 * @param x_BHW3 normalized pixels
 * @param statistics in training
 * @returns [B, E]
 */
export function resnet(
  p: ResnetParameters,
  x_BHW3: Tensor4D,
  heads: number,
  statistics?: BatchStatistics,
): Tensor2D {
  const stem = (unit: Parameters<UnitSpec>, input: Tensor4D, stride: 1 | 2): Tensor4D =>
    tf.relu(batchNorm(unit.norm, convolve(unit.weight, input, stride), statistics)) as Tensor4D;
  const { conv_1, conv_2, conv_3 } = p.stem;
  let h_BHWC = averagePool(stem(conv_3, stem(conv_2, stem(conv_1, x_BHW3, 2), 1), 1));
  for (const n of STAGES)
    for (const [i, block] of Object.values(p[`stage_${n}`]).entries())
      h_BHWC = bottleneck(block, h_BHWC, n > 1 && i === 0, statistics);
  return poolPixels(p.pool, h_BHWC, heads);
}
