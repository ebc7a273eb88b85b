// Drawing the next token from its logits.
//   R rows (images, or twice as many with guidance), B images or captions, V vocabulary

import { randomGumbel } from '../../engine/ops/random.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import { filterLogits } from './logits-processor.ts';

export interface SamplingSettings {
  /** Divides the logits: below 1 likelier, above 1 more varied images. */
  readonly temperature: number;
  /** Most likely tokens kept; all when undefined. */
  readonly topK?: number | undefined;
  /** Probability mass kept; all when undefined. */
  readonly topP?: number | undefined;
}

/** Below this, dividing by the temperature would no longer tell tokens apart from infinities. */
const MIN_TEMPERATURE = 1e-30;

/** Rows of captions, then as many of what to steer away from: away + guidance × (caption − away). */
export function guided(logits_RV: Tensor2D, guidance: number): Tensor2D {
  const [captioned_BV, away_BV] = tf.split(logits_RV, 2) as [Tensor2D, Tensor2D];
  return tf.add(away_BV, tf.mul(tf.sub(captioned_BV, away_BV), guidance));
}

/**
 * One token for each row, by the Gumbel-max trick.
 * @param keys_B2 int32, a key of its own for each row: what is drawn does not depend on the other rows
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

/** The likeliest token stays at 0, so that no temperature is too low. */
function cooled(logits_BV: Tensor2D, temperature: number): Tensor2D {
  if (temperature === 1) return logits_BV;
  const below: Tensor = tf.sub(logits_BV, tf.max(logits_BV, -1, true));
  return tf.div(below, Math.max(temperature, MIN_TEMPERATURE));
}
