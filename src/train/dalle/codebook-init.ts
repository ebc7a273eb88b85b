// Initializes the embeddings and logit weights of image tokens from the dVAE's codebook, so that codes of similar looks
// start close to each other: as a random projection of the dVAE's code vectors, plus a share of the random initial
// values. The published model starts from random values alone and learns the similarities from much data, which a short
// run does not have. The model stays as published.
//   V codes, C channels of a code vector, D width

import type { DalleConfig } from '../../config/dalle.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { randomNormal } from '../../engine/ops/random.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import type { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';

/** Weight of the random initial values, which tell codes of equal looks apart. */
const RANDOM_SHARE = 0.3;

/** Mean 0 for each channel, standard deviation 1 over all. */
function standardized(x_VC: Tensor2D): Tensor2D {
  const centred = tf.sub(x_VC, tf.mean(x_VC, 0, true)) as Tensor2D;
  return tf.div(centred, tf.sqrt(tf.mean(tf.square(centred))));
}

/**
 * Sets the embeddings of image tokens and, where they are not tied, the weights of their logits.
 * @param weights initialized
 * @param vectors the dVAE's code vectors, VC
 */
export async function codebookInit(
  runtime: Runtime,
  weights: Weights<DalleSpec>,
  vectors: HostTensor,
  { model, seed }: Pick<DalleConfig, 'model' | 'seed'>,
): Promise<void> {
  const set = runtime.compile(
    'start from the codebook',
    ({ vectors_VC, key }: Record<'vectors_VC' | 'key', Tensor>) => {
      const channels = vectors_VC.shape[1] as number;
      const projection_CD = randomNormal(key as Tensor1D, [channels, model.width]) as Tensor2D;
      const start_VD = standardized(tf.matMul(standardized(vectors_VC as Tensor2D), projection_CD));
      for (const [name, start] of [
        ['image_embedding', start_VD],
        ['image_head.weight', tf.transpose(start_VD)],
      ] as const) {
        // Tied embeddings have no logit weights.
        const variable = weights.entries.get(name)?.variable;
        if (variable) variable.assign(variable.read().mul(RANDOM_SHARE).add(start.mul(model.initialStddev)));
      }
      return {};
    },
  );
  const key = { dtype: 'int32', shape: [2], data: graphSeed(seed, 'codebook start') } as const;
  await set({ vectors_VC: vectors, key });
}
