// mm tokenize: images and captions to token shards.

import { SOURCES } from '../../data/sources/resolve.ts';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';

/** A shard is put together in memory. */
const LARGEST_SHARD = 100_000;

export const command = defineCommand({
  flags: (yargs) =>
    yargs
      .option('data', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        alias: ['image_text_folder', 'image-text-folder'],
        describe: SOURCES,
      })
      .option('dvae', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        alias: ['vae_path', 'vae-path'],
        describe: 'checkpoint or run of the dVAE',
      })
      .option('out', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        describe: 'folder for the shards and their manifest.json',
      })
      .option('shard-size', { type: 'number', default: 1000, describe: 'images in a shard' })
      .option('resume', {
        type: 'boolean',
        default: false,
        describe: 'keep the finished shards in the folder and make the others',
      })
      .example('$0 tokenize --data photos --dvae runs/dvae --out tokens', 'once')
      .example('$0 tokenize --data "shards/{000..099}.tar" --dvae runs/dvae --out tokens', 'WebDataset tars')
      .example(
        '$0 train-dalle --config configs/dalle/small.yaml --tokens tokens --dvae runs/dvae',
        'many times',
      ),

  async run({ data, dvae, out, 'shard-size': shardSize, resume }, context) {
    if (!Number.isInteger(shardSize) || shardSize < 1 || shardSize > LARGEST_SHARD) {
      throw new UsageError(
        `--shard-size is a whole number from 1 to ${LARGEST_SHARD}, and got ${shardSize}`,
        {
          where: '--shard-size',
          fix: 'leave it out for shards of 1000 images',
        },
      );
    }
    const { tokenizeFolder } = await import('../../inference/jobs/tokenize.ts');
    const manifest = await tokenizeFolder({ data, dvae, out, shardSize, resume }, context);
    const { images, grid, shards } = manifest;
    const skipped = shards.reduce((sum, shard) => sum + shard.skipped.length, 0);
    context.print(
      `${out}: ${images} images of ${grid} × ${grid} codes in ${shards.length} shards${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    );
    context.json(manifest);
  },
});
