// DALL·E's discrete VAE (arXiv 2102.12092, appendix A.1), with the layers and names of its release (openai/DALL-E), so
// that the published weights fit. The release's w and b are weight and bias here.
//   B batch, H height, W width, C channels, G codes on a side, V vocabulary

import type { OpenaiDvaeConfig } from '../../config/dvae.ts';
import { inFloat32 } from '../../engine/graph/precision.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import {
  type ConvolutionSpec,
  convolution,
  convolutionSpec,
  kernelMatrix,
  scaledConvolution,
} from '../../nn/convolution.ts';
import { upsample2x } from '../../nn/functional/upsample.ts';
import { type Parameters, stackSpecs } from '../../nn/parameters.ts';
import { groupWidths, postGain } from './config.ts';

type ResidualSpec = {
  readonly res_path: Readonly<Record<'conv_1' | 'conv_2' | 'conv_3' | 'conv_4', ConvolutionSpec>>;
};
/** The identity path has a convolution when the width changes. */
type BlockSpec = ResidualSpec | (ResidualSpec & { readonly id_path: ConvolutionSpec });
type GroupSpec = { readonly [block: `block_${number}`]: BlockSpec };
/** An encoder or a decoder. */
export type CoderSpec = {
  readonly input: ConvolutionSpec;
  readonly [group: `group_${number}`]: GroupSpec;
  readonly output: ConvolutionSpec;
};
export type DvaeSpec = { readonly encoder: CoderSpec; readonly decoder: CoderSpec };
export type CoderParameters = Parameters<CoderSpec>;
export type DvaeParameters = Parameters<DvaeSpec>;

/** Channels of the decoder's output: μ and ln b of red, green and blue. */
const STATISTICS = 6;
const DECODER_KERNELS = [1, 3, 3, 3] as const;
type Kernels = readonly [number, number, number, number];

function blockSpec(inputs: number, outputs: number, kernels: Kernels): BlockSpec {
  const hidden = outputs / 4;
  return {
    ...(inputs !== outputs && { id_path: convolutionSpec(inputs, outputs, 1) }),
    res_path: {
      conv_1: convolutionSpec(inputs, hidden, kernels[0]),
      conv_2: convolutionSpec(hidden, hidden, kernels[1]),
      conv_3: convolutionSpec(hidden, hidden, kernels[2]),
      conv_4: convolutionSpec(hidden, outputs, kernels[3]),
    },
  };
}

function groupSpecs(
  inputs: number,
  widths: readonly number[],
  blocks: number,
  kernels: Kernels,
): { [group: `group_${number}`]: GroupSpec } {
  return stackSpecs('group', widths.length, (group) => {
    const width = widths[group] as number;
    return stackSpecs('block', blocks, (block) =>
      blockSpec(block === 0 ? (widths[group - 1] ?? inputs) : width, width, kernels),
    );
  });
}

/** The parameters of a dVAE: normal kernels and zero biases, as in the release. */
export function dvaeSpec(config: OpenaiDvaeConfig): DvaeSpec {
  const {
    hiddenChannels: hidden,
    decoderInput,
    vocabulary,
    blocksPerGroup,
    inputKernel,
    encoderKernel: kernel,
  } = config;
  const widths = groupWidths(config);
  return {
    encoder: {
      input: convolutionSpec(3, hidden, inputKernel),
      ...groupSpecs(hidden, widths.encoder, blocksPerGroup, [kernel, kernel, kernel, 1]),
      output: convolutionSpec(widths.encoder.at(-1) as number, vocabulary, 1),
    },
    decoder: {
      input: convolutionSpec(vocabulary, decoderInput, 1),
      ...groupSpecs(decoderInput, widths.decoder, blocksPerGroup, DECODER_KERNELS),
      output: convolutionSpec(hidden, STATISTICS, 1),
    },
  };
}

const unchanged = (x: Tensor4D): Tensor4D => x;

/**
 * @param enlarge repeats the pixels of the block's input. In the release it comes first; here, after the decoder's
 * `conv_1`, a ReLU and `id_path`, which take each pixel by itself: the same values for a quarter of their work.
 */
function block(p: Parameters<BlockSpec>, x_BHWC: Tensor4D, gain: number, enlarge = unchanged): Tensor4D {
  const { conv_1, conv_2, conv_3, conv_4 } = p.res_path;
  const first = enlarge(tf.relu(convolution(conv_1, tf.relu(x_BHWC))));
  const hidden = [conv_2, conv_3].reduce((x, conv) => tf.relu(convolution(conv, x)), first);
  const residual = scaledConvolution(conv_4, hidden, gain);
  return tf.add(enlarge('id_path' in p ? convolution(p.id_path, x_BHWC) : x_BHWC), residual);
}

/** The blocks of every group; `resizing` is the first of each group after the first. */
function groups(
  p: CoderParameters,
  x_BHWC: Tensor4D,
  config: OpenaiDvaeConfig,
  resizing: typeof block,
): Tensor4D {
  const gain = postGain(config);
  let x = x_BHWC;
  for (let group = 1; group <= config.groups; group++) {
    const [first, ...rest] = Object.values(p[`group_${group}`]!);
    x = (group > 1 ? resizing : block)(first!, x, gain);
    for (const parameters of rest) x = block(parameters, x, gain);
  }
  return x;
}

/** A block of a quarter of the pixels. */
const pooledBlock: typeof block = (p, x_BHWC, gain) => block(p, tf.maxPool(x_BHWC, 2, 2, 'valid'), gain);

/** A block of four times the pixels. */
const upsampledBlock: typeof block = (p, x_BHWC, gain) => block(p, x_BHWC, gain, upsample2x);

/** Mapped pixels (see pixels.ts), BHW3 → input features of the encoder's last convolution, BGGC. */
export function encoderFeatures(p: CoderParameters, x_BHW3: Tensor4D, config: OpenaiDvaeConfig): Tensor4D {
  const x_BHWC = convolution(p.input, x_BHW3);
  return tf.relu(groups(p, x_BHWC, config, pooledBlock));
}

/**
 * Mapped pixels, BHW3 → logits of the codes, BGGV. The codes are their argmax. As in the release, the convolutions next
 * to the codes are in 32 bits.
 */
export function encode(p: CoderParameters, x_BHW3: Tensor4D, config: OpenaiDvaeConfig): Tensor4D {
  const features_BGGC = encoderFeatures(p, x_BHW3, config);
  return inFloat32(() => convolution(p.output, features_BGGC));
}

/** Output of the decoder's first convolution, BGGC → μ, then ln b, of the logit-Laplace distribution, BHW6. */
export function decodeFeatures(p: CoderParameters, x_BGGC: Tensor4D, config: OpenaiDvaeConfig): Tensor4D {
  return convolution(p.output, tf.relu(groups(p, x_BGGC, config, upsampledBlock)));
}

/** Relaxed codes, z_BGGV → statistics of the logit-Laplace distribution, BHW6. */
export const decode = (p: CoderParameters, z_BGGV: Tensor4D, config: OpenaiDvaeConfig): Tensor4D =>
  decodeFeatures(
    p,
    inFloat32(() => convolution(p.input, z_BGGV)),
    config,
  );

/** Hard codes, int32 → statistics, BHW6. The product with one-hot codes is a lookup of the kernel's rows. */
export function decodeCodes(p: CoderParameters, codes_BGG: Tensor3D, config: OpenaiDvaeConfig): Tensor4D {
  const embeddings_BGGC = gather(kernelMatrix(p.input.weight), codes_BGG);
  return decodeFeatures(p, tf.add(embeddings_BGGC, p.input.bias), config);
}
