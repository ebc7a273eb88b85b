// mm rank: images ordered by how well they go with a prompt.

import { UsageError } from '../../util/errors.ts';
import { clipFlags, withClip } from '../clip-flags.ts';
import { defineCommand } from '../command.ts';
import { findImages } from '../find-images.ts';

export const command = defineCommand({
  flags: (yargs) =>
    clipFlags(yargs)
      .option('prompt', {
        type: 'string',
        array: true,
        nargs: 1,
        demandOption: true,
        alias: 'text',
        describe: 'what the images should show; repeatable',
      })
      .option('top', { type: 'number', describe: 'list only the best so many of each prompt' })
      .option('csv', { type: 'string', requiresArg: true, describe: 'file for the table' })
      .option('out', {
        type: 'string',
        requiresArg: true,
        describe: 'contact sheet: the best images of each prompt, in order',
      })
      .option('show', {
        type: 'number',
        default: 16,
        describe: 'images of each prompt in the contact sheet',
      })
      .example('$0 rank samples --clip runs/clip --prompt "a red circle"', 'the best first')
      .example(
        '$0 rank photos --clip runs/clip --prompt "a cat" --prompt "a dog" --csv ranks.csv --out best.png',
        'a table and a contact sheet',
      ),

  async run(flags, context) {
    for (const [flag, value] of [
      ['--top', flags.top],
      ['--show', flags.show],
    ] as const) {
      if (value === undefined || (Number.isInteger(value) && value > 0)) continue;
      throw new UsageError(`${flag} is a whole number from 1 on, and got ${value}`, {
        where: flag,
        fix: 'leave it out',
      });
    }
    const { print, json } = context;
    const files = await findImages(flags.images);
    const rankings = await withClip(flags, context, async ({ clip, embed }) => {
      const { rankImages } = await import('../../inference/jobs/rank.ts');
      const texts = await clip.encodeTexts(flags.prompt, flags.truncate);
      return rankImages(flags.prompt, texts, await embed(files), clip.scale);
    });
    for (const { prompt, images } of rankings) {
      if (rankings.length > 1) print(prompt);
      for (const [i, { file, similarity, probability }] of images.slice(0, flags.top).entries()) {
        const figures = `${similarity.toFixed(4)}  ${(100 * probability).toFixed(2).padStart(6)} %`;
        print(`${String(i + 1).padStart(5)}  ${figures}  ${file}`);
        json({ prompt, rank: i + 1, file, similarity, probability });
      }
    }
    const { writeFileAtomic } = await import('../../util/files.ts');
    if (flags.csv !== undefined) {
      const { csv } = await import('../csv.ts');
      const rows = rankings.flatMap(({ prompt, images }) =>
        images
          .slice(0, flags.top)
          .map(({ file, similarity, probability }, i) => [prompt, i + 1, file, similarity, probability]),
      );
      await writeFileAtomic(
        flags.csv,
        csv([['prompt', 'rank', 'file', 'similarity', 'probability'], ...rows]),
      );
      print(flags.csv);
    }
    if (flags.out !== undefined) {
      const { contactSheet } = await import('../../report/images/contact-sheet.ts');
      await writeFileAtomic(flags.out, await contactSheet(rankings, flags.show, files));
      print(flags.out);
    }
  },
});
