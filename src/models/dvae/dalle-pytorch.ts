// The DiscreteVAE of lucidrains/DALLE-pytorch (1.6.6): strided 4×4 convolutions down, transposed ones up, optional
// resblocks next to the codes, and a codebook of embeddings. Images are normalized on the way in.
//   B batch, H height, W width, C channels, G codes on a side, V vocabulary, D width of a code

import type { DallePytorchDvaeConfig } from '../../config/dvae.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import {
  type ConvolutionParameters,
  type ConvolutionSpec,
  convolution,
  upConvolution,
} from '../../nn/convolution.ts';
import { normal, type ParameterSpec, type Parameters, uniform } from '../../nn/parameters.ts';

type BlockSpec = Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', ConvolutionSpec>>;
type Blocks = { readonly [block: `block_${number}`]: BlockSpec };
type Layers = { readonly [layer: `layer_${number}`]: ConvolutionSpec };
export type EncoderSpec = {
  readonly layers: Layers;
  readonly blocks: Blocks;
  readonly output: ConvolutionSpec;
};
export type DecoderSpec = {
  /** From codes to channels, where there are resblocks. */
  readonly input?: ConvolutionSpec;
  readonly blocks: Blocks;
  readonly layers: Layers;
  readonly output: ConvolutionSpec;
};
export type DiscreteVaeSpec = {
  readonly codebook: ParameterSpec;
  readonly encoder: EncoderSpec;
  readonly decoder: DecoderSpec;
};
export type DiscreteVaeParameters = Parameters<DiscreteVaeSpec>;

const COLOURS = 3;
const SIDE = 4;
const STRIDE = 2;

/** PyTorch's initial convolution: uniform up to 1/√(fan in), biases too. */
function convolutionSpec(inputs: number, outputs: number, size: number): ConvolutionSpec {
  const limit = 1 / Math.sqrt(inputs * size ** 2);
  return { weight: uniform([size, size, inputs, outputs], limit), bias: uniform([outputs], limit, false) };
}

/** The same of a transposed one, whose fan in PyTorch counts by its outputs. Kernel [side, side, outputs, inputs]. */
function upConvolutionSpec(inputs: number, outputs: number): ConvolutionSpec {
  const limit = 1 / Math.sqrt(outputs * SIDE ** 2);
  return { weight: uniform([SIDE, SIDE, outputs, inputs], limit), bias: uniform([outputs], limit, false) };
}

const blockSpec = (channels: number): BlockSpec => ({
  conv_1: convolutionSpec(channels, channels, 3),
  conv_2: convolutionSpec(channels, channels, 3),
  conv_3: convolutionSpec(channels, channels, 1),
});

/** `name_1` … `name_count`. */
function numbered<T>(name: string, count: number, make: (index: number) => T): Record<string, T> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}_${i + 1}`, make(i)]));
}

export function discreteVaeSpec(config: DallePytorchDvaeConfig): DiscreteVaeSpec {
  const { layers, resnetBlocks, hiddenChannels: hidden, codebookDim, vocabulary } = config;
  const blocks = (): Blocks => numbered('block', resnetBlocks, () => blockSpec(hidden));
  const first = resnetBlocks > 0 ? hidden : codebookDim;
  return {
    codebook: normal([vocabulary, codebookDim], 1, false),
    encoder: {
      layers: numbered('layer', layers, (i) => convolutionSpec(i === 0 ? COLOURS : hidden, hidden, SIDE)),
      blocks: blocks(),
      output: convolutionSpec(hidden, vocabulary, 1),
    },
    decoder: {
      ...(resnetBlocks > 0 && { input: convolutionSpec(codebookDim, hidden, 1) }),
      blocks: blocks(),
      layers: numbered('layer', layers, (i) => upConvolutionSpec(i === 0 ? first : hidden, hidden)),
      output: convolutionSpec(hidden, COLOURS, 1),
    },
  };
}

/** [0, 1] → the range the model works in. */
export function normalize(pixels_BHW3: Tensor4D, { normalization }: DallePytorchDvaeConfig): Tensor4D {
  const { means, stds } = normalization;
  return tf.div(tf.sub(pixels_BHW3, tf.tensor1d(means)), tf.tensor1d(stds));
}

/** The inverse of `normalize`, clipped to [0, 1]. */
export function denormalize(x_BHW3: Tensor4D, { normalization }: DallePytorchDvaeConfig): Tensor4D {
  const { means, stds } = normalization;
  return tf.clipByValue(tf.add(tf.mul(x_BHW3, tf.tensor1d(stds)), tf.tensor1d(means)), 0, 1);
}

function block({ conv_1, conv_2, conv_3 }: Parameters<BlockSpec>, x_BHWC: Tensor4D): Tensor4D {
  const h = tf.relu(convolution(conv_2, tf.relu(convolution(conv_1, x_BHWC))));
  return tf.add(convolution(conv_3, h), x_BHWC);
}

const through = <P>(
  layers: Readonly<Record<string, P>>,
  x: Tensor4D,
  layer: (p: P, x: Tensor4D) => Tensor4D,
) => Object.values(layers).reduce((h, p) => layer(p, h), x);

/** Normalized pixels_BHW3 → logits of the codes, BGGV. */
export function encode(p: Parameters<EncoderSpec>, x_BHW3: Tensor4D): Tensor4D {
  const down = (conv: ConvolutionParameters, h: Tensor4D): Tensor4D => tf.relu(convolution(conv, h, STRIDE));
  const x_BGGC = through(p.blocks, through(p.layers, x_BHW3, down), block);
  return convolution(p.output, x_BGGC);
}

/** Embedded codes, BGGD → normalized pixels BHW3. */
export function decode(p: Parameters<DecoderSpec>, embeddings_BGGD: Tensor4D): Tensor4D {
  const x_BGGC = p.input === undefined ? embeddings_BGGD : convolution(p.input, embeddings_BGGD);
  const up = (conv: ConvolutionParameters, h: Tensor4D): Tensor4D => tf.relu(upConvolution(conv, h, STRIDE));
  return convolution(p.output, through(p.layers, through(p.blocks, x_BGGC, block), up));
}

/** Hard codes, int32 → normalized pixels BHW3. */
export const decodeCodes = (p: DiscreteVaeParameters, codes_BGG: Tensor3D): Tensor4D =>
  decode(p.decoder, gather(p.codebook, codes_BGG) as Tensor4D);
