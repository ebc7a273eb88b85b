// mm data make-shapes.

import { counted } from '../../../util/counted.ts';
import { type Context, defineCommand } from '../../command.ts';
import { TEXT, withExamples } from '../../help.ts';
import { wholeNumber } from '../../whole-number.ts';

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      yargs
        .option('out', { ...TEXT, default: 'data/shapes', describe: 'folder for the data set' })
        .option('count', { ...wholeNumber('count'), default: 20_000, describe: 'images to render' })
        .option('size', {
          ...wholeNumber('size'),
          default: 32,
          describe: 'pixels on a side of the images',
        })
        .option('seed', {
          ...wholeNumber('seed', { min: 0 }),
          default: 0,
          describe: 'the same seed renders the same images',
        })
        .option('force', {
          type: 'boolean',
          default: false,
          describe: 'replace a folder that mm data make-shapes did not write',
        }),
      [
        ['20,000 captioned images', 'data make-shapes --out data/shapes'],
        ['larger ones, with another seed', 'data make-shapes --out data/large --size 64 --seed 1'],
      ],
    ),

  async run({ out, count, size, seed, force }, { json, print, progress, signal }: Context) {
    const { makeShapes } = await import('../../../data/shapes/make.ts');
    const about = await makeShapes({ out, count, size, seed, force, progress, signal });
    json({ out, ...about });
    print(`${counted(count, 'captioned image')} of ${size} × ${size} pixels in ${out}`);
    print(
      `held out: ${about.heldOut.pairs} pairs of colour and shape, ${about.heldOut.scenes} scenes of two ` +
        `objects; listed in ${out}/heldout.json`,
    );
  },
});
