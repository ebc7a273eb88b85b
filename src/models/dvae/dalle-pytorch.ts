// The DiscreteVAE of lucidrains/DALLE-pytorch (1.6.6): strided 4×4 convolutions down, transposed ones up, optional
// resblocks next to the codes, and a codebook of embeddings. It encodes normalized images.
//   B batch, H height, W width, C channels, G codes on a side, V vocabulary, O output channels, k side of a kernel

import type { DallePytorchDvaeConfig } from '../../config/dvae.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import {
  type ConvolutionParameters,
  type ConvolutionSpec,
  convolution,
  upConvolution,
} from '../../nn/convolution.ts';
import { normal, type ParameterSpec, type Parameters, stackSpecs, uniform } from '../../nn/parameters.ts';

type BlockSpec = Readonly<Record<'conv_1' | 'conv_2' | 'conv_3', ConvolutionSpec>>;
type Blocks = { readonly [block: `block_${number}`]: BlockSpec };
type Layers = { readonly [layer: `layer_${number}`]: ConvolutionSpec };
export type EncoderSpec = {
  readonly layers: Layers;
  readonly blocks: Blocks;
  readonly output: ConvolutionSpec;
};
export type DecoderSpec = {
  /** From the embeddings to the hidden channels; only with resblocks. */
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
const KERNEL_SIZE = 4;
const STRIDE = 2;

/** A convolution in PyTorch's initialization: uniform up to 1/√(fan-in), biases included. */
function torchConvolutionSpec(inputs: number, outputs: number, size: number): ConvolutionSpec {
  const limit = 1 / Math.sqrt(inputs * size ** 2);
  return { weight: uniform([size, size, inputs, outputs], limit), bias: uniform([outputs], limit, false) };
}

/** A transposed convolution in PyTorch's initialization, whose fan-in counts the outputs. Kernel [k, k, O, C]. */
function torchUpConvolutionSpec(inputs: number, outputs: number): ConvolutionSpec {
  const limit = 1 / Math.sqrt(outputs * KERNEL_SIZE ** 2);
  return {
    weight: uniform([KERNEL_SIZE, KERNEL_SIZE, outputs, inputs], limit),
    bias: uniform([outputs], limit, false),
  };
}

const blockSpec = (channels: number): BlockSpec => ({
  conv_1: torchConvolutionSpec(channels, channels, 3),
  conv_2: torchConvolutionSpec(channels, channels, 3),
  conv_3: torchConvolutionSpec(channels, channels, 1),
});

/** The parameters of a DiscreteVAE. Weight decay does not apply to the codebook. */
export function discreteVaeSpec(config: DallePytorchDvaeConfig): DiscreteVaeSpec {
  const { layers, resnetBlocks, hiddenChannels: hidden, codebookDim, vocabulary } = config;
  const blocks = (): Blocks => stackSpecs('block', resnetBlocks, () => blockSpec(hidden));
  const first = resnetBlocks > 0 ? hidden : codebookDim;
  return {
    codebook: normal([vocabulary, codebookDim], 1, false),
    encoder: {
      layers: stackSpecs('layer', layers, (i) =>
        torchConvolutionSpec(i === 0 ? COLOURS : hidden, hidden, KERNEL_SIZE),
      ),
      blocks: blocks(),
      output: torchConvolutionSpec(hidden, vocabulary, 1),
    },
    decoder: {
      ...(resnetBlocks > 0 && { input: torchConvolutionSpec(codebookDim, hidden, 1) }),
      blocks: blocks(),
      layers: stackSpecs('layer', layers, (i) => torchUpConvolutionSpec(i === 0 ? first : hidden, hidden)),
      output: torchConvolutionSpec(hidden, COLOURS, 1),
    },
  };
}

/** Pixels in [0, 1] → normalized pixels. */
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

/** Normalized pixels, BHW3 → logits of the codes, BGGV. */
export function encode(p: Parameters<EncoderSpec>, x_BHW3: Tensor4D): Tensor4D {
  const down = (conv: ConvolutionParameters, h: Tensor4D): Tensor4D => tf.relu(convolution(conv, h, STRIDE));
  const x_BGGC = through(p.blocks, through(p.layers, x_BHW3, down), block);
  return convolution(p.output, x_BGGC);
}

/** Embeddings of codes, BGGC → normalized pixels, BHW3. */
export function decode(p: Parameters<DecoderSpec>, embeddings_BGGC: Tensor4D): Tensor4D {
  const x_BGGC = p.input === undefined ? embeddings_BGGC : convolution(p.input, embeddings_BGGC);
  const up = (conv: ConvolutionParameters, h: Tensor4D): Tensor4D => tf.relu(upConvolution(conv, h, STRIDE));
  return convolution(p.output, through(p.layers, through(p.blocks, x_BGGC, block), up));
}

/** Hard codes, int32 → normalized pixels, BHW3. */
export const decodeCodes = (p: DiscreteVaeParameters, codes_BGG: Tensor3D): Tensor4D =>
  decode(p.decoder, gather(p.codebook, codes_BGG) as Tensor4D);
