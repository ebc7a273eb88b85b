// mm data check: what training would meet in a data set.

import { dirname } from 'node:path';
import type { Groups, Listed } from '../../../data/check/lists.ts';
import type { DataReport, Found } from '../../../data/check/report.ts';
import { findingText, isFault } from '../../../data/sources/fault-kinds.ts';
import { SOURCES } from '../../../data/sources/source.ts';
import { counted } from '../../../util/counted.ts';
import { DataError, UsageError } from '../../../util/errors.ts';
import { assertWritable, writeFileAtomic } from '../../../util/files.ts';
import { type Context, defineCommand } from '../../command.ts';
import { TEXT, withExamples } from '../../help.ts';
import { sourceFlags, tableOptions } from '../../source-flags.ts';
import { wholeNumber } from '../../whole-number.ts';
import { binsText, rangeText } from './distribution-text.ts';

/** File names printed of each kind; --json has up to a thousand. */
const MAX_NAMES = 5;
/** Frequent words printed. */
const MAX_WORDS = 10;

export const command = defineCommand({
  flags: (yargs) =>
    withExamples(
      sourceFlags(yargs)
        .positional('path', {
          type: 'string',
          demandOption: true,
          describe: `${SOURCES}; or a folder of token shards`,
        })
        .option('text-length', {
          ...wholeNumber('text-length'),
          default: 256,
          describe: 'most tokens in a caption before it is reported as too long; words without --tokenizer',
        })
        .option('tokenizer', {
          ...TEXT,
          describe: 'tokenizer, of any kind (docs/FORMATS.md): caption lengths in tokens',
        })
        .option('html', { ...TEXT, describe: 'write a page with images of each kind of fault to this file' })
        .option('dvae', {
          ...TEXT,
          describe: 'of token shards: the dVAE that made them, which decodes the images of the page',
        }),
      [
        ['counts, sizes and faults', 'data check data/shapes'],
        [
          'with images of each kind of fault',
          'data check photos --tokenizer tokenizer.json --html photos.html',
        ],
        ['of WebDataset tars, for programs', 'data check "shards/{000..099}.tar" --json'],
      ],
    ),

  async run({ path, 'text-length': textLength, tokenizer, html, dvae, ...flags }, context: Context) {
    const { json, print, progress, signal } = context;
    if (dvae !== undefined && html === undefined) {
      throw new UsageError('the dVAE decodes the images of a page, and there is none', {
        code: 'E_FLAG_MISSING',
        option: 'html',
        fix: 'name the page: --html FILE',
      });
    }
    const { isTokenFolder } = await import('../../../data/tokens/read.ts');
    if (await isTokenFolder(path)) {
      const { checkTokenShards } = await import('./check-tokens.ts');
      const maxBad = flags['max-bad'];
      return checkTokenShards(path, { textLength, tokenizer, html, dvae, maxBad }, context);
    }
    if (dvae !== undefined) throw noTokens(path);
    const { checkData } = await import('../../../data/check/check.ts');
    if (html !== undefined) await assertWritable(dirname(html));
    const keepsCopies = html !== undefined;
    const options = { textLength, tokenizer, table: tableOptions(flags), keepsCopies, progress, signal };
    const checked = await checkData(path, options);
    const { report } = checked;
    if (html !== undefined) {
      const { dataPage } = await import('../../../report/pages/data-page.ts');
      await writeFileAtomic(html, await dataPage(checked, textLength));
    }
    json({ ...report, ...(html !== undefined && { html }) });
    for (const line of describe(report, textLength)) print(line);
    if (html !== undefined) print(`page: ${html}`);
    if (report.usable === 0) {
      throw new DataError(`none of the ${report.images} images can be used`, {
        code: 'E_NO_USABLE_IMAGE',
        where: report.unusable.first[0]?.file ?? path,
        fix: report.unusable.first[0]?.reason ?? 'name other archives',
      });
    }
    assertFewBad(report, flags['max-bad']);
  },
});

const noTokens = (where: string): UsageError =>
  new UsageError('a dVAE is of use with token shards, and these are images', {
    code: 'E_NO_TOKENS',
    option: 'dvae',
    where,
    fix: 'leave out `dvae`, or name the folder that mm tokenize wrote',
  });

/** The limit that training has with the same flag. */
function assertFewBad({ images, findings, unusable, path }: DataReport, maxBad: number | undefined): void {
  const bad = findings.reduce((sum, { kind, count }) => sum + (isFault(kind) ? count : 0), 0);
  if (maxBad === undefined || bad <= maxBad * images) return;
  throw new DataError(
    `${counted(bad, 'fault')} in ${counted(images, 'image')}, more than ${100 * maxBad} %`,
    {
      code: 'E_TOO_MANY_FAULTS',
      where: unusable.first[0]?.file ?? path,
      fix: 'replace or remove them, or allow more with `maxBad`',
    },
  );
}

const shorten = (text: string): string => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`;

function firstNames({ count, first }: Listed): string {
  const more = count > MAX_NAMES ? `, and ${count - MAX_NAMES} more` : '';
  return first.slice(0, MAX_NAMES).join(', ') + more;
}

type Warning = readonly [said: string, count: number, names: string];

const listed = <T>(what: string, { count, first }: Listed<T>, name: (entry: T) => string): Warning => [
  `${counted(count, 'image')} ${what}`,
  count,
  firstNames({ count, first: first.slice(0, MAX_NAMES).map(name) }),
];

const files = (what: string, list: Listed): Warning => listed(what, list, (file) => file);

const ofKind = (kind: Found['kind'], list: Listed): Warning => [
  `${list.count} ${findingText(kind, list.count)}`,
  list.count,
  firstNames(list),
];

function groups(what: string, { images, first }: Groups, sign: string): Warning {
  const names = first.slice(0, MAX_NAMES).map((some) => some.slice(0, MAX_NAMES).join(` ${sign} `));
  return [
    `${counted(images, 'image')} ${what}`,
    images,
    names.join(', ') + (first.length > MAX_NAMES ? ', …' : ''),
  ];
}

function captionLines({ captions }: DataReport): string[] {
  if (captions.count === 0) return ['no captions'];
  const [top] = captions.repeated;
  const mostFrequent = top ? `, most frequent (${top.images} times) ${shorten(top.caption)}` : '';
  const tokens = captions.tokens ? `; ${rangeText(captions.tokens)} tokens` : '';
  const words = captions.frequentWords.slice(0, MAX_WORDS).map(({ word, count }) => `${word} ${count}`);
  return [
    `${counted(captions.count, 'caption')}, ${captions.distinct} distinct${mostFrequent}; ${rangeText(captions.words)} words${tokens}`,
    `${captions.tokens ? 'tokens' : 'words'} in a caption: ${binsText(captions.lengths)}`,
    `most frequent words: ${words.join(', ')}`,
  ];
}

/** Kinds of findings that have a separate line. */
const SAID: ReadonlySet<Found['kind']> = new Set([
  'no-caption',
  'empty-caption',
  'unreadable-caption',
  'orphan-caption',
  'cut-archive',
]);

function describe(report: DataReport, textLength: number): string[] {
  const { captions, unusable } = report;
  const formats = Object.entries(report.formats).map(([format, count]) => `${count} ${format}`);
  const unit = captions.tokens ? 'tokens' : 'words';
  const warnings: Warning[] = [
    listed('cannot be used', unusable, ({ file, reason }) => `${file} (${reason})`),
    groups('identical to another image', report.duplicates, '='),
    groups('nearly the same as another image', report.nearDuplicates, '≈'),
    // A data set without any caption is meant to have none.
    ofKind('no-caption', captions.count > 0 ? captions.missing : { count: 0, first: [] }),
    ofKind('empty-caption', captions.empty),
    files('with a caption that cannot be read', captions.unreadable),
    listed(
      `with a caption of more than ${textLength} ${unit}`,
      captions.tooLong,
      ({ file, words, tokens = words }) => `${file} (${tokens})`,
    ),
    files('with several captions, of which each epoch picks one', captions.severalLines),
    ofKind('orphan-caption', captions.withoutImage),
  ];
  const unusableKinds = new Set(unusable.first.map(({ kind }) => kind));
  const others = report.findings.filter(({ kind }) => !SAID.has(kind) && !unusableKinds.has(kind));
  return [
    `${counted(report.images, 'image')} in ${report.path}, ${report.usable} usable${formats.length > 0 ? `: ${formats.join(', ')}` : ''}`,
    `width ${rangeText(report.width)}; height ${rangeText(report.height)} pixels`,
    `shorter side in pixels: ${binsText(report.sides)}`,
    `width over height ${rangeText(report.aspect)}: ${binsText(report.aspects)}`,
    ...captionLines(report),
    ...kindLine(report),
    ...warnings.filter(([, count]) => count > 0).map(([said, , names]) => `warning: ${said}: ${names}`),
    ...others.map(({ what, count, examples }) => `also found: ${count} ${what}, such as ${examples[0]}`),
    ...report.limits.map((limit) => `not compared, or not exact: ${limit}`),
  ];
}

/** Images that cannot be used, counted by kind, where there is more than one. */
function kindLine({ unusable, findings }: DataReport): string[] {
  const kinds = new Set(unusable.first.map(({ kind }) => kind));
  if (kinds.size < 2) return [];
  const counts = findings.filter(({ kind }) => kinds.has(kind)).map(({ what, count }) => `${count} ${what}`);
  return [`of no use: ${counts.join(', ')}`];
}
