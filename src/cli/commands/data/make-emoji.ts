// mm data make-emoji.

import { counted } from '../../../util/counted.ts';
import { defineCommand } from '../../command.ts';
import { TEXT, withExamples } from '../../help.ts';
import { wholeNumber } from '../../whole-number.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('out', { ...TEXT, default: 'data/emoji', describe: 'new folder for the data set' })
        .option('font', {
          ...TEXT,
          default: 'Noto Color Emoji',
          describe: 'font with colour emoji, as fc-list names it',
        })
        .option('names', {
          ...TEXT,
          default: '/usr/share/unicode/emoji/emoji-test.txt',
          describe: "Unicode's list of emoji, whose names become captions (Debian: unicode-data)",
        })
        .option('size', {
          ...wholeNumber('size', { min: 16, max: 1024 }),
          default: 128,
          describe: 'pixels on a side of the images',
        }),
      [['on Debian, after apt-get install fonts-noto-color-emoji unicode-data', 'data make-emoji']],
    ),

  async run({ out, font, names, size }, { json, print, log, progress, signal }) {
    const { makeEmoji } = await import('../../../data/emoji/make.ts');
    const about = await makeEmoji({ out, font, names, size, progress, signal });
    const { count, missing } = about;
    if (missing.length > 0)
      log.warn(`left out: ${missing.length} emoji that ${font} does not have, such as ${missing[0]}`);
    json({ out, ...about });
    print(`${counted(count, 'captioned image')} of ${size} × ${size} pixels in ${out}`);
  },
});
