// mm data make-shapes, and mm data check.

import type { DataReport, Range } from '../../data/check.ts';
import { SOURCES } from '../../data/sources/resolve.ts';
import { DataError, UsageError } from '../../util/errors.ts';
import { type Context, defineCommand } from '../command.ts';

/** File names shown of each kind; --json has them all. */
const SHOWN = 5;

export const makeShapesCommand = defineCommand({
  flags: (yargs) =>
    yargs
      .option('out', { type: 'string', default: 'data/shapes', describe: 'folder to write' })
      .option('count', { type: 'number', default: 20_000, describe: 'images to draw' })
      .option('size', { type: 'number', default: 32, describe: 'pixels on a side' })
      .option('seed', { type: 'number', default: 0, describe: 'the same seed draws the same images' })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'replace a folder that something else made',
      })
      .example('$0 data make-shapes --out data/shapes', '20,000 captioned images for the demo'),

  async run({ out, count, size, seed, force }, { json, print, progress, signal }: Context) {
    const { makeShapes } = await import('../../data/shapes/make.ts');
    const about = await makeShapes({ out, count, size, seed, force, progress, signal });
    json({ out, ...about });
    print(`${count} captioned images of ${size} × ${size} pixels in ${out}`);
    print(
      `never shown: ${about.heldOut.pairs} pairs of colour and shape, ${about.heldOut.scenes} pairings of ` +
        `objects; listed in ${out}/heldout.json`,
    );
  },
});

export const checkCommand = defineCommand({
  flags: (yargs) =>
    yargs
      .positional('path', {
        type: 'string',
        demandOption: true,
        describe: SOURCES,
      })
      .option('text-length', {
        type: 'number',
        default: 256,
        describe: 'words from which a caption counts as too long: the text positions of the model',
      })
      .example('$0 data check data/shapes', 'counts, sizes, and what training would stumble over')
      .example('$0 data check "shards/{000..099}.tar" --json', 'the same of tars, for programs'),

  async run({ path, 'text-length': textLength }, { json, print, progress, signal }: Context) {
    if (!Number.isInteger(textLength) || textLength < 1)
      throw new UsageError(`--text-length is a whole number of words, at least 1, and got ${textLength}`, {
        fix: 'leave it out for 256',
      });
    const { checkData } = await import('../../data/check.ts');
    const report = await checkData(path, { textLength, progress, signal });
    json(report);
    for (const line of describe(report, textLength)) print(line);
    if (report.usable === 0)
      throw new DataError(`none of the ${report.images} images can be used`, {
        where: report.unusable[0]?.file ?? path,
        fix: report.unusable[0]?.reason ?? 'name other archives',
      });
  },
});

const shorten = (text: string): string => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`;

function some(files: readonly string[]): string {
  const more = files.length > SHOWN ? `, and ${files.length - SHOWN} more` : '';
  return files.slice(0, SHOWN).join(', ') + more;
}

function spread(range: Range | undefined): string {
  return range ? `${range.min} to ${range.max}, median ${range.median}` : '–';
}

function describe(report: DataReport, textLength: number): string[] {
  const { captions } = report;
  const [often] = captions.repeated;
  const mostOften = often ? `, most often (${often.images} times) ${shorten(often.caption)}` : '';
  const formats = Object.entries(report.formats).map(([format, count]) => `${count} ${format}`);
  const warnings: [what: string, files: readonly string[]][] = [
    ['cannot be used', report.unusable.map(({ file, reason }) => `${file} (${reason})`)],
    ['are the same image under several names', report.duplicates.map((files) => files.join(' = '))],
    // A folder without any captions is one of images only.
    ['have no caption', captions.count > 0 ? captions.missing : []],
    ['have an empty caption', captions.empty],
    ['have a caption that cannot be read', captions.unreadable],
    [
      `have a caption of more than ${textLength} words`,
      captions.tooLong.map(({ file, words }) => `${file} (${words})`),
    ],
    ['have several captions, of which each epoch draws one', captions.severalLines],
    ['are captions without an image', captions.withoutImage],
  ];
  return [
    `${report.images} images in ${report.path}, ${report.usable} usable${formats.length > 0 ? `: ${formats.join(', ')}` : ''}`,
    `width ${spread(report.width)}; height ${spread(report.height)} pixels`,
    captions.count === 0
      ? 'no captions'
      : `${captions.count} captions, ${captions.distinct} distinct${mostOften}; ${spread(captions.words)} words`,
    ...warnings
      .filter(([, files]) => files.length > 0)
      .map(([what, files]) => `warning: ${files.length} ${what}: ${some(files)}`),
  ];
}
