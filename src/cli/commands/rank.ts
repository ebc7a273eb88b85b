// mm rank: images ordered by how well they match a prompt, by CLIP.

import { clipFlags, withClip } from '../clip-flags.ts';
import { defineCommand } from '../command.ts';
import { findImages } from '../find-images.ts';
import { REPEATABLE, TEXT, withExamples } from '../help.ts';
import { openFaults, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

/** Above the table of a CLIP whose probabilities have no sum of 100 %. */
const SIGMOID_HEADER = ' rank  similarity  sigmoid  file';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      clipFlags(yargs)
        .option('prompt', {
          ...REPEATABLE,
          demandOption: true,
          alias: 'text',
          describe: 'text to compare the images with; repeatable',
        })
        .option('top', {
          ...wholeNumber('top'),
          defaultDescription: 'all',
          describe: 'images listed for each prompt, the best first',
        })
        .option('csv', { ...TEXT, describe: 'writes the table as a CSV file' })
        .option('out', { ...TEXT, describe: 'writes the best images of each prompt as one image' })
        .option('show', {
          ...wholeNumber('show'),
          default: 16,
          describe: 'images of each prompt in the image of --out',
        }),
      [
        ['the best first', 'rank samples --clip runs/clip --prompt "a red circle"'],
        [
          'two prompts, a table and an image of the best',
          'rank photos --clip runs/clip --prompt "a cat" --prompt "a dog" --csv ranks.csv --out best.png',
        ],
      ],
    ),

  async run(flags, context) {
    const { print, json } = context;
    const faults = await openFaults(flags, context);
    const files = await findImages(flags.images, faults, {
      table: tableOptions(flags),
      signal: context.signal,
    });
    const { rankings, loss } = await withClip(flags, context, faults, async ({ clip, embed }) => {
      const { rankImages } = await import('../../inference/jobs/rank.ts');
      const texts = await clip.encodeTexts(flags.prompt, flags.truncate);
      const { logits } = clip;
      return { rankings: rankImages(flags.prompt, texts, await embed(files), logits), loss: logits.loss };
    });
    if (loss === 'sigmoid') print(SIGMOID_HEADER);
    for (const { prompt, images } of rankings) {
      if (rankings.length > 1) print(prompt);
      for (const [i, { file, similarity, probability }] of images.slice(0, flags.top).entries()) {
        const scores = `${similarity.toFixed(4)}  ${(100 * probability).toFixed(2).padStart(6)} %`;
        print(`${String(i + 1).padStart(5)}  ${scores}  ${file}`);
        json({ prompt, rank: i + 1, file, similarity, probability, probabilityKind: loss });
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
      const column = loss === 'sigmoid' ? 'sigmoid_probability' : 'probability';
      await writeFileAtomic(flags.csv, csv([['prompt', 'rank', 'file', 'similarity', column], ...rows]));
      print(flags.csv);
    }
    if (flags.out !== undefined) {
      const { contactSheet } = await import('../../report/images/contact-sheet.ts');
      await writeFileAtomic(flags.out, await contactSheet(rankings, flags.show, files));
      print(flags.out);
    }
  },
});
