// mm train-dalle: trains the joint text–image Transformer.

import { dalleSchema } from '../../config/dalle.ts';
import { loadConfig } from '../../config/load.ts';
import { SOURCES } from '../../data/sources/resolve.ts';
import { defineCommand } from '../command.ts';
import { runContext, trainingFlags, truncateFlag } from '../training-flags.ts';
import { withWorkers, workerFlags } from '../workers.ts';

export const command = defineCommand({
  flags: (yargs) =>
    workerFlags(trainingFlags(yargs, 'runs/dalle'))
      .option('data', {
        type: 'string',
        requiresArg: true,
        alias: ['image_text_folder', 'image-text-folder'],
        describe: `${SOURCES}; with captions; over data.path and data.tokens`,
      })
      .option('tokens', {
        type: 'string',
        requiresArg: true,
        describe: 'token shards of mm tokenize, over data.tokens and data.path',
      })
      .option('dvae', {
        type: 'string',
        requiresArg: true,
        alias: ['vae_path', 'vae-path'],
        describe: 'checkpoint or run of the dVAE, over data.dvae',
      })
      .option('tokenizer', {
        type: 'string',
        requiresArg: true,
        describe: 'tokenizer.json of mm train-bpe, over data.tokenizer',
      })
      .option('from', {
        type: 'string',
        requiresArg: true,
        alias: ['dalle_path', 'dalle-path'],
        describe: 'checkpoint or run whose weights a new run begins with, over train.initFrom',
      })
      .option('truncate', truncateFlag)
      .conflicts('data', 'tokens')
      .example(
        '$0 train-dalle --config configs/dalle/small.yaml --data photos --dvae runs/dvae --tokenizer tokenizer.json',
        'images and captions',
      )
      .example(
        '$0 train-dalle --config configs/dalle/small.yaml --tokens tokens --dvae runs/dvae --tokenizer tokenizer.json',
        'tokens made before',
      )
      .example(
        '$0 train-dalle --config configs/dalle/small.yaml --tokens tokens … --workers 2 --rank 1 --join 10.0.0.1:29500',
        'the second of two machines; --rank 0 on 10.0.0.1',
      ),

  async run(flags, context) {
    const config = loadConfig(dalleSchema, {
      file: flags.config,
      set: flags.set,
      flags: {
        seed: flags.seed,
        // Either takes the place of both in the file.
        'data.path': flags.tokens === undefined ? flags.data : null,
        'data.tokens': flags.data === undefined ? flags.tokens : null,
        'data.dvae': flags.dvae,
        'data.tokenizer': flags.tokenizer,
        'data.truncateCaptions': flags.truncate,
        'train.initFrom': flags.from,
      },
    });
    const { trainDalle } = await import('../../train/dalle/train.ts');
    await withWorkers(flags, context, async (cluster) => {
      const { evaluation, ...result } = await trainDalle(config, runContext(flags, context, cluster));
      if (cluster && !cluster.isPrimary) return;
      context.print(result.checkpoint);
      context.json({ ...result, ...evaluation });
    });
  },
});
