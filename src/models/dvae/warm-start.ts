// The warm start: the codebook is initialized from k-means centres, so that it does not collapse. First, encoder and
// decoder are trained as a plain autoencoder through a narrow bottleneck of 1×1 convolutions. With centres e_k of the
// bottleneck's features h, the logits −‖h − e_k‖²/T are, up to a constant, (2/T) e_k·h − ‖e_k‖²/T: a 1×1 convolution,
// the encoder's last. The decoder's first convolution maps code k to the bottleneck's decoding of e_k. The model and
// its loss are as published.
//   B batch, H height, W width, G codes on a side, C channels in, O channels out, F width of the features, V vocabulary

import type { OpenaiDvaeConfig } from '../../config/dvae.ts';
import { randomNormal } from '../../engine/ops/random.ts';
import {
  type Scalar,
  type Tensor,
  type Tensor1D,
  type Tensor2D,
  type Tensor4D,
  tf,
} from '../../engine/tfjs/tf.ts';
import {
  type ConvolutionParameters,
  type ConvolutionSpec,
  convolution,
  convolutionSpec,
  kernelMatrix,
} from '../../nn/convolution.ts';
import type { Parameters } from '../../nn/parameters.ts';
import { groupWidths } from './config.ts';
import { type CoderParameters, type DvaeParameters, decodeFeatures, encoderFeatures } from './model.ts';
import { location, logit, mapPixels } from './pixels.ts';

export type BottleneckSpec = { readonly encode: ConvolutionSpec; readonly decode: ConvolutionSpec };
export type BottleneckParameters = Parameters<BottleneckSpec>;

/** 1×1 convolutions instead of the encoder's last and the decoder's first while there is no codebook. @param width F */
export const bottleneckSpec = (config: OpenaiDvaeConfig, width: number): BottleneckSpec => ({
  encode: convolutionSpec(groupWidths(config).encoder.at(-1) as number, width, 1),
  decode: convolutionSpec(width, config.decoderInput, 1),
});

/** Pixels in [0, 1], BHW3 → the bottleneck's features, BGGF. */
export const bottleneckFeatures = (
  encoder: CoderParameters,
  bottleneck: BottleneckParameters,
  pixels_BHW3: Tensor4D,
  config: OpenaiDvaeConfig,
): Tensor4D => convolution(bottleneck.encode, encoderFeatures(encoder, mapPixels(pixels_BHW3), config));

/**
 * The autoencoder's loss: mean squared error of the logits of mapped pixels. The dVAE's likelihood would spend a short
 * training on the exact tint of backgrounds (measured, see docs/LOG.md). Normal noise on the features makes close
 * features decode alike, which clustering needs.
 * @param key of the noise, int32[2]
 * @param noise standard deviation of the noise, in standard deviations of the features
 */
export function autoencoderLoss(
  p: DvaeParameters & { readonly bottleneck: BottleneckParameters },
  pixels_BHW3: Tensor4D,
  config: OpenaiDvaeConfig,
  key: Tensor1D,
  noise: number,
): Scalar {
  const features_BGGF = bottleneckFeatures(p.encoder, p.bottleneck, pixels_BHW3, config);
  const amplitude = tf.mul(tf.sqrt(tf.moments(features_BGGF).variance), noise);
  const noise_BGGF = tf.mul(randomNormal(key, features_BGGF.shape), amplitude);
  const noisy_BGGF = tf.add(features_BGGF, noise_BGGF) as Tensor4D;
  const stats_BHW6 = decodeFeatures(p.decoder, convolution(p.bottleneck.decode, noisy_BGGF), config);
  return tf.mean(tf.square(tf.sub(logit(mapPixels(pixels_BHW3)), location(stats_BHW6))));
}

/**
 * The encoder's last and the decoder's first convolution for the codebook `centres_VF`.
 * @param temperature T above, a scalar: about the mean squared distance of a feature to its centre
 */
export function codebookConvolutions(
  bottleneck: BottleneckParameters,
  centres_VF: Tensor2D,
  temperature: Scalar,
): { readonly encoderOutput: ConvolutionParameters; readonly decoderInput: ConvolutionParameters } {
  const slopes_VF = tf.mul(centres_VF, tf.div(2, temperature));
  const squares_V = tf.sum(tf.square(centres_VF), 1);
  const biases_V1 = tf.matMul(slopes_VF, tf.reshape(bottleneck.encode.bias, [-1, 1]));
  return {
    encoderOutput: {
      weight: asKernel(tf.matMul(kernelMatrix(bottleneck.encode.weight), slopes_VF, false, true)),
      bias: tf.sub(tf.reshape(biases_V1, [-1]), tf.div(squares_V, temperature)),
    },
    decoderInput: {
      weight: asKernel(tf.matMul(centres_VF, kernelMatrix(bottleneck.decode.weight))),
      bias: bottleneck.decode.bias,
    },
  };
}

/** [C, O] as a 1×1 kernel [1, 1, C, O]. */
const asKernel = (matrix_CO: Tensor2D): Tensor => tf.reshape(matrix_CO, [1, 1, ...matrix_CO.shape]);
