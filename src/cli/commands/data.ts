// mm data make-shapes, and mm data check.

import type { DataReport, Range } from '../../data/check.ts';
import { SOURCES } from '../../data/sources/resolve.ts';
import { DataError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';
import { TEXT, withExamples } from '../help.ts';
import { sourceFlags, tableOptions } from '../source-flags.ts';
import { wholeNumber } from '../whole-number.ts';

/** File names printed of each kind; --json has all of them. */
const MAX_NAMES = 5;

export const makeShapesCommand = defineCommand({
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
    const { makeShapes } = await import('../../data/shapes/make.ts');
    const about = await makeShapes({ out, count, size, seed, force, progress, signal });
    json({ out, ...about });
    print(`${count} captioned images of ${size} × ${size} pixels in ${out}`);
    print(
      `held out: ${about.heldOut.pairs} pairs of colour and shape, ${about.heldOut.scenes} scenes of two ` +
        `objects; listed in ${out}/heldout.json`,
    );
  },
});

export const checkCommand = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .positional('path', { type: 'string', demandOption: true, describe: SOURCES })
        .option('text-length', {
          ...wholeNumber('text-length'),
          default: 256,
          describe: 'most words in a caption before it is reported as too long',
        }),
      [
        ['counts, sizes and faults', 'data check data/shapes'],
        ['the same of WebDataset tars, for programs', 'data check "shards/{000..099}.tar" --json'],
      ],
    ),

  async run({ path, 'text-length': textLength, ...flags }, { json, print, progress, signal }: Context) {
    const { checkData } = await import('../../data/check.ts');
    const report = await checkData(path, { textLength, table: tableOptions(flags), progress, signal });
    json(report);
    for (const line of describe(report, textLength)) print(line);
    if (report.usable === 0) {
      throw new DataError(`none of the ${report.images} images can be used`, {
        code: 'E_NO_USABLE_IMAGE',
        where: report.unusable[0]?.file ?? path,
        fix: report.unusable[0]?.reason ?? 'name other archives',
      });
    }
  },
});

const shorten = (text: string): string => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`;

function firstNames(files: readonly string[]): string {
  const more = files.length > MAX_NAMES ? `, and ${files.length - MAX_NAMES} more` : '';
  return files.slice(0, MAX_NAMES).join(', ') + more;
}

function rangeText(range: Range | undefined): string {
  return range ? `${range.min} to ${range.max}, median ${range.median}` : '–';
}

function describe(report: DataReport, textLength: number): string[] {
  const { captions } = report;
  const [top] = captions.repeated;
  const mostFrequent = top ? `, most frequent (${top.images} times) ${shorten(top.caption)}` : '';
  const formats = Object.entries(report.formats).map(([format, count]) => `${count} ${format}`);
  const warnings: [what: string, files: readonly string[]][] = [
    ['cannot be used', report.unusable.map(({ file, reason }) => `${file} (${reason})`)],
    ['are the same image under several names', report.duplicates.map((files) => files.join(' = '))],
    // A data set without any caption is meant to have none.
    ['have no caption', captions.count > 0 ? captions.missing : []],
    ['have an empty caption', captions.empty],
    ['have a caption that cannot be read', captions.unreadable],
    [
      `have a caption of more than ${textLength} words`,
      captions.tooLong.map(({ file, words }) => `${file} (${words})`),
    ],
    ['have several captions, of which each epoch picks one', captions.severalLines],
    ['are captions without an image', captions.withoutImage],
  ];
  return [
    `${report.images} images in ${report.path}, ${report.usable} usable${formats.length > 0 ? `: ${formats.join(', ')}` : ''}`,
    `width ${rangeText(report.width)}; height ${rangeText(report.height)} pixels`,
    captions.count === 0
      ? 'no captions'
      : `${captions.count} captions, ${captions.distinct} distinct${mostFrequent}; ${rangeText(captions.words)} words`,
    ...warnings
      .filter(([, files]) => files.length > 0)
      .map(([what, files]) => `warning: ${files.length} ${what}: ${firstNames(files)}`),
  ];
}
