// mm train-dvae: trains the discrete VAE.

import { dvaeSchema } from '../../config/dvae.ts';
import { SOURCES } from '../../data/sources/source.ts';
import { TEXT, withExamples } from '../help.ts';
import { trainingSourceFlags, trainingSourceOverrides } from '../source-flags.ts';
import { trainingCommand } from '../training-command.ts';

export const command = trainingCommand({
  schema: dvaeSchema,
  defaultRun: 'runs/dvae',
  flags: (yargs) =>
    withExamples(
      trainingSourceFlags(yargs).option('data', {
        ...TEXT,
        alias: 'image_folder',
        describe: `training images: ${SOURCES}; overrides data.path`,
      }),
      [
        ['any folder of images', 'train-dvae --config configs/dvae/small.yaml --data photos'],
        ['after an interruption', 'train-dvae --config configs/dvae/small.yaml --data photos --resume'],
      ],
    ),
  overrides: (flags) => ({ 'data.path': flags.data, ...trainingSourceOverrides(flags) }),
  train: async (config, context) => (await import('../../train/dvae/train.ts')).trainDvae(config, context),
});
