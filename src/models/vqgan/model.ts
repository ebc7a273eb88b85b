// The VQGAN (arXiv 2012.09841, appendix; taming/models/vqgan.py and taming/modules), with its layers in the order of
// taming-transformers, so that the published weights fit. latent-diffusion's VQModel and diffusers' are the same.
//   B batch, H height, W width, C channels, G codes on a side, V vocabulary

import type { VqganConfig } from '../../config/vqgan.ts';
import { inFloat32 } from '../../engine/graph/precision.ts';
import { gather } from '../../engine/ops/gather.ts';
import { type Tensor2D, type Tensor3D, type Tensor4D, tf } from '../../engine/tfjs/tf.ts';
import {
  type ConvolutionParameters,
  type ConvolutionSpec,
  convolution,
  convolutionSpec,
} from '../../nn/convolution.ts';
import { upsample2x } from '../../nn/functional/upsample.ts';
import { type LayerNormSpec, layerNormSpec } from '../../nn/layer-norm.ts';
import { normal, type ParameterSpec, type Parameters, stackSpecs } from '../../nn/parameters.ts';
import {
  type AttentionSpec,
  attention,
  attentionSpec,
  norm,
  type ResblockSpec,
  resblock,
  resblockSpec,
  swish,
} from './blocks.ts';
import { decoderLevels, encoderLevels, type Level } from './config.ts';

const COLOURS = 3;
const DOWN_STRIDE = 2;

/** Resblocks, each with attention after it or none, and the convolution that goes with a change of size. */
type LevelSpec = {
  readonly blocks: { readonly [block: `block_${number}`]: ResblockSpec };
  readonly attentions: { readonly [attention: `attention_${number}`]: AttentionSpec };
  readonly resize?: ConvolutionSpec;
};
type CoderSpec = {
  readonly input: ConvolutionSpec;
  readonly levels: { readonly [level: `level_${number}`]: LevelSpec };
  readonly middle: {
    readonly block_1: ResblockSpec;
    readonly attention?: AttentionSpec;
    readonly block_2: ResblockSpec;
  };
  readonly norm: LayerNormSpec;
  readonly output: ConvolutionSpec;
};
export type VqganSpec = {
  /** Undefined where the configuration has no encoder; so is quant_conv. */
  readonly encoder?: CoderSpec;
  /** From the encoder's output to the width of a code. */
  readonly quant_conv?: ConvolutionSpec;
  readonly codebook: ParameterSpec;
  /** To the logits of the codes; only with the quantizer `gumbel`. */
  readonly logits?: ConvolutionSpec;
  /** From the width of a code to the decoder's input. */
  readonly post_quant_conv: ConvolutionSpec;
  readonly decoder: CoderSpec;
};
export type VqganParameters = Parameters<VqganSpec>;
type CoderParameters = Parameters<CoderSpec>;

function levelSpec({ inputs, channels, hasAttention }: Level, blocks: number, hasResize: boolean): LevelSpec {
  return {
    blocks: stackSpecs('block', blocks, (i) => resblockSpec(i === 0 ? inputs : channels, channels)),
    attentions: stackSpecs('attention', hasAttention ? blocks : 0, () => attentionSpec(channels)),
    ...(hasResize && { resize: convolutionSpec(channels, channels, 3) }),
  };
}

function middleSpec(channels: number, hasAttention: boolean): CoderSpec['middle'] {
  return {
    block_1: resblockSpec(channels, channels),
    ...(hasAttention && { attention: attentionSpec(channels) }),
    block_2: resblockSpec(channels, channels),
  };
}

/** The parameters of a VQGAN. */
export function vqganSpec(config: VqganConfig): VqganSpec {
  const { levelChannels, hiddenChannels, resnetBlocks, middleAttention } = config;
  const { latentChannels, codebookDim, vocabulary, quantizer } = config;
  const count = levelChannels.length;
  const [first, last] = [levelChannels[0] as number, levelChannels.at(-1) as number];
  const [down, up] = [encoderLevels(config), decoderLevels(config)];
  const encoder = config.hasEncoder && {
    encoder: {
      input: convolutionSpec(COLOURS, hiddenChannels, 3),
      levels: stackSpecs('level', count, (i) => levelSpec(down[i] as Level, resnetBlocks, i < count - 1)),
      middle: middleSpec(last, middleAttention),
      norm: layerNormSpec(last),
      output: convolutionSpec(last, latentChannels, 3),
    },
    quant_conv: convolutionSpec(latentChannels, codebookDim, 1),
  };
  return {
    ...encoder,
    codebook: normal([vocabulary, codebookDim], 1, false),
    ...(quantizer === 'gumbel' && { logits: convolutionSpec(codebookDim, vocabulary, 1) }),
    post_quant_conv: convolutionSpec(codebookDim, latentChannels, 1),
    decoder: {
      input: convolutionSpec(latentChannels, last, 3),
      levels: stackSpecs('level', count, (i) => levelSpec(up[i] as Level, resnetBlocks + 1, i > 0)),
      middle: middleSpec(last, middleAttention),
      norm: layerNormSpec(first),
      output: convolutionSpec(first, COLOURS, 3),
    },
  };
}

function level(
  { blocks, attentions }: Parameters<LevelSpec>,
  x_BHWC: Tensor4D,
  { normGroups }: VqganConfig,
): Tensor4D {
  return Object.values(blocks).reduce((x, block, i) => {
    const own = attentions[`attention_${i + 1}`];
    const h_BHWC = resblock(block, x, normGroups);
    return own ? attention(own, h_BHWC, normGroups) : h_BHWC;
  }, x_BHWC);
}

function middle(p: CoderParameters['middle'], x_BHWC: Tensor4D, { normGroups }: VqganConfig): Tensor4D {
  const h_BHWC = resblock(p.block_1, x_BHWC, normGroups);
  const attended = p.attention ? attention(p.attention, h_BHWC, normGroups) : h_BHWC;
  return resblock(p.block_2, attended, normGroups);
}

const output = (p: CoderParameters, x_BHWC: Tensor4D, { normGroups }: VqganConfig): Tensor4D =>
  convolution(p.output, swish(norm(p.norm, x_BHWC, normGroups)));

/** Halves the sides. As the peers pad on the right and below alone, TensorFlow's SAME padding of even sides is theirs. */
const halve = (p: ConvolutionParameters, x_BHWC: Tensor4D): Tensor4D => convolution(p, x_BHWC, DOWN_STRIDE);

/** Pixels in [−1, 1] → vectors that are compared with the codebook, BGGC. */
export function features(p: VqganParameters, x_BHW3: Tensor4D, config: VqganConfig): Tensor4D {
  const { encoder, quant_conv } = p;
  if (!encoder || !quant_conv) throw new Error('this VQGAN has no encoder');
  let x = convolution(encoder.input, x_BHW3);
  for (const each of Object.values(encoder.levels)) {
    x = level(each, x, config);
    if (each.resize) x = halve(each.resize, x);
  }
  return convolution(quant_conv, output(encoder, middle(encoder.middle, x, config), config));
}

/**
 * Pixels in [−1, 1] → scores of the codes, BGGV; the codes are their argmax. Gumbel: the logits. Nearest: the squared
 * distance from each vector of the codebook, negated, without the term |z|² that all codes share. In 32 bits: codes of
 * a large codebook lie close together.
 */
export function encode(p: VqganParameters, x_BHW3: Tensor4D, config: VqganConfig): Tensor4D {
  const z_BGGC = features(p, x_BHW3, config);
  const { logits } = p;
  if (logits) return inFloat32(() => convolution(logits, z_BGGC));
  const codebook_VC = p.codebook as Tensor2D;
  const [batch, grid, , width] = z_BGGC.shape;
  const products = inFloat32(() => tf.matMul(tf.reshape(z_BGGC, [-1, width]), codebook_VC, false, true));
  const scores = tf.sub(tf.mul(products, 2), tf.sum(tf.square(codebook_VC), 1));
  return tf.reshape(scores, [batch, grid, grid, -1]);
}

/** Hard codes, int32 → pixels, which may exceed [−1, 1] a little, BHW3. */
export function decodeCodes(p: VqganParameters, codes_BGG: Tensor3D, config: VqganConfig): Tensor4D {
  const z_BGGC = gather(p.codebook, codes_BGG) as Tensor4D;
  let x = middle(
    p.decoder.middle,
    convolution(p.decoder.input, convolution(p.post_quant_conv, z_BGGC)),
    config,
  );
  for (const each of Object.values(p.decoder.levels).toReversed()) {
    x = level(each, x, config);
    if (each.resize) x = convolution(each.resize, upsample2x(x));
  }
  return output(p.decoder, x, config);
}

/** [0, 1] → the range of the VQGAN's pixels. */
export const toOwn = (pixels: Tensor4D, config: VqganConfig): Tensor4D =>
  config.pixels === 'unit' ? pixels : toSigned(pixels);

/** The inverse of `toOwn`, clipped to [0, 1]. */
export const fromOwn = (x: Tensor4D, config: VqganConfig): Tensor4D =>
  config.pixels === 'unit' ? tf.clipByValue(x, 0, 1) : fromSigned(x);

/** [0, 1] → [−1, 1]. */
export const toSigned = (pixels: Tensor4D): Tensor4D => tf.sub(tf.mul(pixels, 2), 1);

/** The inverse of `toSigned`, clipped to [0, 1]. */
export const fromSigned = (x: Tensor4D): Tensor4D => tf.clipByValue(tf.div(tf.add(x, 1), 2), 0, 1);
