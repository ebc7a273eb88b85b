// mm data pack: any source as WebDataset tars.

import { SOURCES } from '../../../data/sources/source.ts';
import { counted } from '../../../util/counted.ts';
import { defineCommand } from '../../command.ts';
import { TEXT, withExamples } from '../../help.ts';
import { openFaults, sourceFlags, tableOptions } from '../../source-flags.ts';
import { wholeNumber } from '../../whole-number.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .positional('path', { type: 'string', demandOption: true, describe: SOURCES })
        .option('out', { ...TEXT, demandOption: true, describe: 'new folder for the tars and manifest.json' })
        .option('size', {
          ...wholeNumber('size'),
          defaultDescription: 'images stay as they are, byte for byte',
          describe: 'pixels of the shorter side of images that have more',
        })
        .option('format', {
          choices: ['jpeg', 'png', 'webp'] as const,
          default: 'jpeg' as const,
          describe: 'format of the images that --size makes smaller',
        })
        .option('quality', {
          ...wholeNumber('quality', { max: 100 }),
          default: 95,
          describe: 'quality of these as jpeg or webp',
        })
        .option('deduplicate', {
          choices: ['none', 'exact', 'near'] as const,
          default: 'none' as const,
          describe: 'leave out copies: of the same bytes, or also those that look nearly the same',
        })
        .option('captions-only', {
          type: 'boolean',
          default: false,
          describe: 'leave out images without a caption',
        })
        .option('shard-size', { ...wholeNumber('shard-size'), default: 1000, describe: 'images in a tar' })
        .option('resume', {
          type: 'boolean',
          default: false,
          describe: 'continue an interrupted run after its last finished tar',
        }),
      [
        ['a folder, at 256 pixels', 'data pack photos --out shards --size 256'],
        ['a list, without copies', 'data pack list.csv --out shards --deduplicate near'],
        ['trains on the tars', 'train-clip --config configs/clip/vit-b-32.yaml --data shards'],
      ],
    ),

  async run({ path: data, out, resume, ...flags }, context) {
    const { packData } = await import('../../../data/pack/pack.ts');
    const faults = await openFaults(flags, context);
    const { size, format, quality, deduplicate } = flags;
    const settings = {
      ...(size !== undefined && { size }),
      ...{ format, quality, deduplicate },
      captionsOnly: flags['captions-only'],
      shardSize: flags['shard-size'],
    };
    const manifest = await packData(
      { data, table: tableOptions(flags), out, settings, resume, faults },
      context,
    );
    faults.summarize();
    const { images, captioned, resized, shards } = manifest;
    const leftOut = [
      [manifest.unusable, 'cannot be used'],
      [manifest.duplicates, 'copies'],
      [manifest.uncaptioned, 'without a caption'],
    ].flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
    context.print(
      `${out}: ${counted(images, 'image')}, ${captioned} with a caption, in ${counted(shards.length, 'tar')}` +
        `${resized > 0 ? `, ${resized} made smaller` : ''}${leftOut.length > 0 ? `; left out: ${leftOut.join(', ')}` : ''}`,
    );
    context.json({ out, ...manifest });
  },
});
