// Samples the next token from its logits.
//   R rows (images, or twice as many with guidance), B images or captions, V vocabulary

import { randomGumbel } from '../../engine/ops/random.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { filterLogits } from './logits-processor.ts';

export interface SamplingSettings {
  /** Divides the logits: below 1 more likely, above 1 more varied tokens. */
  readonly temperature: number;
  /** Number of most likely tokens kept; all when undefined. */
  readonly topK?: number | undefined;
  /** Probability mass kept; all when undefined. */
  readonly topP?: number | undefined;
}

export interface SampleSettings extends SamplingSettings {
  /** Weight of the caption against the empty or negative one; 1 turns guidance off. */
  readonly guidance: number;
}

/** Rows of a batch: with guidance each image has one for its caption and one for what it is led away from. */
export const rowsOf = (batch: number, { guidance }: Pick<SampleSettings, 'guidance'>): number =>
  guidance === 1 ? batch : 2 * batch;

/** Division by a smaller temperature would overflow. */
const MIN_TEMPERATURE = 1e-30;

/** Classifier-free guidance: negative + guidance × (caption − negative), from rows of captions, then as many negative ones. */
export function guided(logits_RV: Tensor2D, guidance: number): Tensor2D {
  const [captioned_BV, negative_BV] = tf.split(logits_RV, 2) as [Tensor2D, Tensor2D];
  return tf.add(negative_BV, tf.mul(tf.sub(captioned_BV, negative_BV), guidance));
}

/**
 * Samples one token for each row by the Gumbel-max trick.
 * @param keys_B2 int32, a random key for each row: a token does not depend on the other rows
 */
export function sampleTokens(logits_BV: Tensor2D, keys_B2: Tensor2D, settings: SamplingSettings): Tensor1D {
  const { temperature, topK, topP } = settings;
  const [rows, vocabulary] = logits_BV.shape;
  const filtered_BV = filterLogits(cooled(logits_BV, temperature), topK, topP);
  const noise_BV = tf.stack(
    Array.from({ length: rows }, (_, b) =>
      randomGumbel(tf.reshape(tf.slice(keys_B2, [b, 0], [1, 2]), [2]), [vocabulary]),
    ),
  );
  return tf.argMax(tf.add(filtered_BV, noise_BV), -1) as Tensor1D;
}

/** Logits over the temperature. Shifted so that the maximum is 0, which avoids overflow at low temperatures. */
function cooled(logits_BV: Tensor2D, temperature: number): Tensor2D {
  if (temperature === 1) return logits_BV;
  const below: Tensor = tf.sub(logits_BV, tf.max(logits_BV, -1, true));
  return tf.div(below, Math.max(temperature, MIN_TEMPERATURE));
}
