// A tiny joint Transformer with every kind of attention, and two captioned images.

import { type DalleModelConfig, dalleModelSchema } from '../../src/config/dalle-model.ts';
import { type Tensor2D, tf } from '../../src/engine/tfjs/tf.ts';
import { imageLength, padCaption } from '../../src/models/dalle/config.ts';
import { dalleSpec } from '../../src/models/dalle/model.ts';
import { RandomStream } from '../../src/util/random.ts';
import { perturbed, randomIds } from './perturbed.ts';

export const config: DalleModelConfig = dalleModelSchema.parse({
  textLength: 4,
  textVocabulary: 9,
  grid: 3,
  imageVocabulary: 7,
  width: 12,
  layers: 4,
  heads: 3,
  attention: ['row', 'column', 'full'],
  lastAttention: 'conv',
  kernelSize: 3,
});
/** Each option that changes how a token follows from those before it, and several at once. */
export const MODEL_OPTIONS: readonly Partial<DalleModelConfig>[] = [
  { rotary: true },
  { tokenShift: true },
  { reversible: true },
  { sandwichNorm: true, layerScale: true, gated: true, headWidth: 6 },
  { stable: true, tiedEmbeddings: true, paddingTargets: 'each' },
  { attentionGrid: 'target', activation: 'gelu-tanh', secondNorm: true },
  { sharedAttention: [0, 1, 2, 3], sharedFeedForward: [0, 1] },
  { rotary: true, tokenShift: true, reversible: true, stable: true },
];
export const kinds = ['row', 'column', 'full', 'conv'] as const;

export const parameters = perturbed(dalleSpec(config), 1);

const captions = [padCaption([3, 8], config), padCaption([1, 2, 5, 0], config)];
export const text_BT = tf.tensor2d(
  captions.flatMap((caption) => [...caption]),
  [2, config.textLength],
  'int32',
);
export const image_BI = randomIds(
  [2, imageLength(config)],
  new RandomStream('image'),
  config.imageVocabulary,
) as Tensor2D;
