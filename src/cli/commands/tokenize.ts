// mm tokenize: images and captions to token shards.

import { SOURCES } from '../../data/sources/source.ts';
import type { Share } from '../../data/tokens/share.ts';
import { counted } from '../../util/counted.ts';
import { UsageError } from '../../util/errors.ts';
import { defineCommand } from '../command.ts';
import { deviceFlag, dvaeFlag, TEXT, withExamples } from '../help.ts';
import { sourceFlags, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

/** A shard is built in memory. */
const MAX_SHARD_SIZE = 100_000;

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .option('data', {
          ...TEXT,
          demandOption: true,
          alias: 'image_text_folder',
          describe: `images, with or without captions: ${SOURCES}`,
        })
        .option('dvae', { ...dvaeFlag, demandOption: true })
        .option('out', { ...TEXT, demandOption: true, describe: 'folder for the shards and manifest.json' })
        .option('shard-size', {
          ...wholeNumber('shard-size', { max: MAX_SHARD_SIZE }),
          default: 1000,
          describe: 'images in a shard',
        })
        .option('resume', {
          type: 'boolean',
          default: false,
          describe: 'keep the finished shards in the folder, and make the others',
        })
        .option('devices', deviceFlag('images'))
        .option('share', {
          ...TEXT,
          defaultDescription: 'all',
          describe:
            'makes only a part of the shards, such as 2/8, the second of eight; the shares may run at once, into one folder, which is finished when all are',
        }),
      [
        ['encodes a folder once', 'tokenize --data photos --dvae runs/dvae --out tokens'],
        ['WebDataset tars', 'tokenize --data "shards/{000..099}.tar" --dvae runs/dvae --out tokens'],
        [
          'one of four programs that fill a folder',
          'tokenize --data "shards/{000..099}.tar" --dvae runs/dvae --out tokens --share 1/4',
        ],
        ['on all GPUs', 'tokenize --data photos --dvae runs/dvae --out tokens --devices all'],
        [
          'trains on the tokens',
          'train-dalle --config configs/dalle/small.yaml --tokens tokens --dvae runs/dvae',
        ],
      ],
    ),

  async run({ data, dvae, out, 'shard-size': shardSize, resume, ...flags }, context) {
    const { tokenizeFolder } = await import('../../inference/jobs/tokenize.ts');
    const { parseDevices } = await import('../../engine/session/devices.ts');
    const { manifest, isWhole } = await tokenizeFolder(
      {
        ...{ data, dvae, out, shardSize, resume },
        share: flags.share === undefined ? undefined : parseShareOf(flags.share),
        devices: parseDevices(flags.devices),
        maxBad: flags['max-bad'],
        table: tableOptions(flags),
      },
      context,
    );
    const { images, grid, shards } = manifest;
    const skipped = shards.reduce((sum, shard) => sum + shard.skipped.length, 0);
    context.print(
      `${out}: ${counted(images, 'image')} of ${grid} × ${grid} tokens in ${counted(shards.length, 'shard')}${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    );
    if (!isWhole) context.print('  the other shares are not finished: the last to end completes the folder');
    context.json({ ...manifest, ...(flags.share !== undefined && { share: flags.share, isWhole }) });
  },
});

/** Share 2/8 as its numbers. Throws UsageError. */
function parseShareOf(text: string): Share {
  const [index, of] = /^\d{1,6}\/\d{1,6}$/.test(text) ? text.split('/').map(Number) : [];
  if (index && of && index <= of) return { index, of };
  throw new UsageError(`a share is written as 2/8, received ${text}`, {
    code: 'E_OPTION_VALUE',
    option: 'share',
    fix: 'give the number of the share, from 1, and that of all shares',
  });
}
