// mm train-clip: contrastive pretraining.

import { clipSchema } from '../../config/clip.ts';
import { loadConfig } from '../../config/load.ts';
import { SOURCES } from '../../data/sources/resolve.ts';
import { defineCommand } from '../command.ts';
import { runContext, trainingFlags, truncateFlag } from '../training-flags.ts';

export const command = defineCommand({
  flags: (yargs) =>
    trainingFlags(yargs, 'runs/clip')
      .option('data', {
        type: 'string',
        requiresArg: true,
        alias: ['image_text_folder', 'image-text-folder'],
        describe: `${SOURCES}; with captions; over data.path`,
      })
      .option('tokenizer', {
        type: 'string',
        requiresArg: true,
        describe: "tokenizer.json, or CLIP's merges file, over data.tokenizer",
      })
      .option('truncate', truncateFlag)
      .example(
        '$0 train-clip --config configs/clip/vit-b-32.yaml --data photos --tokenizer bpe_simple_vocab_16e6.txt.gz',
        'the published size',
      )
      .example(
        '$0 train-clip --config configs/clip/vit-b-32.yaml --data photos --tokenizer t.json --set train.gradCacheChunk=64',
        'a batch larger than memory, 64 images at a time',
      ),

  async run(flags, context) {
    const config = loadConfig(clipSchema, {
      file: flags.config,
      set: flags.set,
      flags: {
        seed: flags.seed,
        'data.path': flags.data,
        'data.tokenizer': flags.tokenizer,
        'data.truncateCaptions': flags.truncate,
      },
    });
    const { trainClip } = await import('../../train/clip/train.ts');
    const { evaluation, ...result } = await trainClip(config, runContext(flags, context));
    context.print(result.checkpoint);
    context.json({ ...result, negatives: config.train.batch - 1, ...evaluation });
  },
});
