// mm train-clip: contrastive pretraining.

import { givenClipSchema } from '../../config/clip.ts';
import { SOURCES } from '../../data/sources/source.ts';
import { TEXT, withExamples } from '../help.ts';
import { trainingSourceFlags, trainingSourceOverrides } from '../source-flags.ts';
import { trainingCommand, truncateFlag } from '../training-command.ts';

export const command = trainingCommand({
  schema: givenClipSchema,
  defaultRun: 'runs/clip',
  flags: (yargs) =>
    withExamples(
      trainingSourceFlags(yargs)
        .option('data', {
          ...TEXT,
          alias: 'image_text_folder',
          describe: `training images with captions: ${SOURCES}; overrides data.path`,
        })
        .option('tokenizer', {
          ...TEXT,
          describe: 'tokenizer, of any kind: see docs/FORMATS.md; overrides data.tokenizer',
        })
        .option('truncate', truncateFlag),
      [
        [
          'the published size',
          'train-clip --config configs/clip/vit-b-32.yaml --data photos --tokenizer tokenizer.json',
        ],
        [
          'a batch larger than memory, 64 images at a time',
          'train-clip --config configs/clip/vit-b-32.yaml --data photos --set train.gradCacheChunk=64',
        ],
      ],
    ),
  overrides: ({ data, tokenizer, truncate, ...flags }) => ({
    'data.path': data,
    'data.tokenizer': tokenizer,
    'data.truncateCaptions': truncate,
    ...trainingSourceOverrides(flags),
  }),
  train: async (config, context) => (await import('../../train/clip/train.ts')).trainClip(config, context),
  extraResults: ({ train }) => ({ negatives: train.batch - 1 }),
});
