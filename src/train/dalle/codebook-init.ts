// Image tokens begin near those that look alike. The published model draws its embeddings at random, and learns from
// much data which codes are related; a short run has no such data, but the dVAE knows. Embeddings and logit weights
// start as one random projection of the dVAE's code vectors, plus some of what was drawn. Everything trains on from
// there, and the model stays as published.
//   V codes, C channels of a code vector, D width

import type { DalleConfig } from '../../config/dalle.ts';
import type { HostTensor } from '../../engine/native/tensor.ts';
import { randomNormal } from '../../engine/ops/random.ts';
import type { Runtime } from '../../engine/session/runtime.ts';
import { type Tensor, type Tensor1D, type Tensor2D, tf } from '../../engine/tfjs/tf.ts';
import type { DalleSpec } from '../../models/dalle/model.ts';
import type { Weights } from '../../nn/weights.ts';
import { graphSeed } from '../../util/random.ts';

/** Deviation of what stays of the drawn values, as a share of theirs: it tells codes of equal looks apart. */
const DRAWN = 0.3;

/** Unit deviation, mean 0 for each channel. */
function standardized(x_VC: Tensor2D): Tensor2D {
  const centred = tf.sub(x_VC, tf.mean(x_VC, 0, true)) as Tensor2D;
  return tf.div(centred, tf.sqrt(tf.mean(tf.square(centred))));
}

/**
 * Sets the embeddings of image tokens, and the weights of their logits where those are not the same, of weights just drawn.
 * @param vectors of the codes, VC
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
        // Without the second where embeddings are tied.
        const variable = weights.entries.get(name)?.variable;
        if (variable) variable.assign(variable.read().mul(DRAWN).add(start.mul(model.initialStddev)));
      }
      return {};
    },
  );
  const key = { dtype: 'int32', shape: [2], data: graphSeed(seed, 'codebook start') } as const;
  await set({ vectors_VC: vectors, key });
}
