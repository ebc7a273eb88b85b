// mm train-dvae: trains the discrete VAE.

import { dvaeSchema } from '../../config/dvae.ts';
import { loadConfig } from '../../config/load.ts';
import { SOURCES } from '../../data/sources/resolve.ts';
import { defineCommand } from '../command.ts';
import { runContext, trainingFlags } from '../training-flags.ts';

export const command = defineCommand({
  flags: (yargs) =>
    trainingFlags(yargs, 'runs/dvae')
      .option('data', {
        type: 'string',
        requiresArg: true,
        alias: ['image_folder', 'image-folder'],
        describe: `${SOURCES}; over data.path`,
      })
      .example('$0 train-dvae --config configs/dvae/small.yaml --data photos', 'any folder of images')
      .example(
        '$0 train-dvae --config configs/dvae/small.yaml --data photos --resume',
        'after an interruption',
      ),

  async run(flags, context) {
    const config = loadConfig(dvaeSchema, {
      file: flags.config,
      set: flags.set,
      flags: { seed: flags.seed, 'data.path': flags.data },
    });
    const { trainDvae } = await import('../../train/dvae/train.ts');
    const { evaluation, ...result } = await trainDvae(config, runContext(flags, context));
    context.print(result.checkpoint);
    context.json({ ...result, ...evaluation });
  },
});
