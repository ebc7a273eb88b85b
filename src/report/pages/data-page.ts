// The page of `mm data check`: its figures and tables, and images of each kind of fault.

import type { Bin, Range } from '../../data/check/distribution.ts';
import type { Groups, Listed } from '../../data/check/lists.ts';
import type { CheckedData, DataReport } from '../../data/check/report.ts';
import { thumbnail } from '../../data/check/thumbnail.ts';
import { findingText } from '../../data/sources/fault-kinds.ts';
import {
  type GalleryCard,
  type GallerySection,
  type GalleryTable,
  htmlPage,
  sectionHtml,
  tableHtml,
} from './gallery.ts';

/** Images shown of each kind, and groups of duplicates. */
const MAX_CARDS = 18;
const MAX_GROUPS = 8;
/** Images shown of a group. */
const MAX_IN_GROUP = 6;

/** An image on the page: its name, what is to be said of it, and its group. */
interface Shown {
  readonly file: string;
  readonly says?: Readonly<Record<string, string>>;
}

/** The page's HTML; only the images that are shown are read again. */
export async function dataPage(checked: CheckedData, textLength: number): Promise<string> {
  const { report, files } = checked;
  const { captions } = report;
  const section: MakeSection = async (title, { count: all, first }, text) => {
    if (all === 0) return [];
    const cards = await Promise.all(first.slice(0, MAX_CARDS).map((one) => card(one, files)));
    const more = all > cards.length ? ` The first ${cards.length} of ${all}.` : '';
    return [{ title, text: text + more, cards }];
  };
  const named = (listed: Listed) => mapListed(listed, (file): Shown => ({ file }));
  const unit = captions.tokens ? 'tokens' : 'words';
  const sections = [
    ...(await unusable(checked, section)),
    ...(await section(
      'Extreme proportions',
      named(checked.extremes),
      'Most of such an image is outside its central square.',
    )),
    ...(await section(
      'Smallest images',
      named(checked.small),
      'An image is enlarged where a model reads a larger one.',
    )),
    ...(await section('Same contents', groups(report.duplicates), 'Files that are equal byte for byte.')),
    ...(await section(
      'Nearly the same',
      groups(report.nearDuplicates),
      'Images whose perceptual hashes differ in 4 of 64 bits at most.',
    )),
    ...(await section(
      'Captions that are too long',
      mapListed(captions.tooLong, ({ file, words, tokens }) => ({
        ...{ file, says: { caption: `${tokens ?? words} ${unit}` } },
      })),
      `More than ${textLength} ${unit}.`,
    )),
    ...(await section(
      'No caption',
      named(captions.count > 0 ? captions.missing : { count: 0, first: [] }),
      'Left out where captions are needed.',
    )),
    ...(await section('Empty caption', named(captions.empty), 'Left out where captions are needed.')),
    ...(await section(
      'Unreadable caption',
      named(captions.unreadable),
      'Not UTF-8 text, nor UTF-16 with its mark.',
    )),
  ];
  const [found, ...others] = tables(report, unit);
  const isAnyFound = report.findings.length > 0;
  return htmlPage({
    title: 'Data set',
    subtitle: report.path,
    figures: [
      { value: report.images.toLocaleString('en'), label: 'images' },
      { value: report.usable.toLocaleString('en'), label: 'usable' },
      { value: captions.count.toLocaleString('en'), label: 'with a caption' },
      { value: captions.distinct.toLocaleString('en'), label: 'different captions' },
      { value: report.duplicates.images.toLocaleString('en'), label: 'copies' },
      { value: report.nearDuplicates.images.toLocaleString('en'), label: 'near duplicates' },
    ],
    main: [
      ...(isAnyFound ? [tableHtml(found)] : []),
      ...sections.map(sectionHtml),
      `<div class="columns">${others
        .filter(({ rows }) => rows.length > 0)
        .map(tableHtml)
        .join('')}</div>`,
    ].join('\n'),
    style: STYLE,
    footer: 'Made by mm data check.',
  });
}

/** Images of any proportions in squares; tables beside one another where there is room. */
const STYLE = `
.cards img { aspect-ratio: 1; object-fit: contain; background: var(--line); }
.columns { columns: 26rem; column-gap: 2rem; }
.columns section { break-inside: avoid; padding-top: 0.1rem; }
.columns .scroll { width: 100%; min-width: 0; }
.columns td, .columns th { white-space: normal; }
`;

type MakeSection = (title: string, all: Listed<Shown>, text: string) => Promise<GallerySection[]>;

const mapListed = <T, U>({ count, first }: Listed<T>, to: (entry: T) => U): Listed<U> => ({
  count,
  first: first.map(to),
});

/** A section for each kind of image that cannot be used. */
async function unusable({ unusable: kinds }: CheckedData, section: MakeSection): Promise<GallerySection[]> {
  const made = [...kinds].map(([kind, faults]) =>
    section(
      `Cannot be used: ${findingText(kind, faults.count)}`,
      mapListed(faults, ({ file, reason }) => ({ file, says: { reason } })),
      'Left out. What can be decoded of it is shown.',
    ),
  );
  return (await Promise.all(made)).flat();
}

async function card({ file, says }: Shown, files: CheckedData['files']): Promise<GalleryCard> {
  const found = files.get(file);
  const size = found?.info && { size: `${found.info.width} × ${found.info.height}` };
  const caption = found?.caption;
  return {
    png: await thumbnail(found?.image ?? { path: file }),
    prompt: caption ?? '',
    showsPrompt: caption !== undefined,
    alt: file,
    settings: { file, ...size, ...says },
  };
}

/** The files of the first groups, the largest first, each with the number of its group. */
function groups({ images, first }: Groups): Listed<Shown> {
  const largest = first.toSorted((a, b) => b.length - a.length).slice(0, MAX_GROUPS);
  const shown = largest.flatMap((some, i) =>
    some
      .slice(0, MAX_IN_GROUP)
      .map((file) => ({ file, says: { group: `${i + 1}, of ${some.length} images` } })),
  );
  return { count: images + first.length, first: shown };
}

function tables(report: DataReport, unit: string): [found: GalleryTable, ...others: GalleryTable[]] {
  const { captions, findings, formats, images } = report;
  const bins = (title: string, name: string, some: readonly Bin[]): GalleryTable => ({
    title,
    columns: [name, 'count', '%'],
    rows: some.map(({ range, count: n }) => [range, n, percent(n, some)]),
  });
  const range = (name: string, values: Range | undefined) =>
    [name, values?.min, values?.median, values?.max] as const;
  return [
    {
      title: 'Found',
      columns: ['what', 'count', 'for example'],
      rows: findings.map(({ what, count: n, examples }) => [what, n, shorten(examples[0] ?? '', 90)]),
    },
    {
      title: 'Sizes and lengths',
      columns: ['', 'least', 'median', 'most'],
      rows: [
        range('width in pixels', report.width),
        range('height in pixels', report.height),
        range('width over height', report.aspect),
        range('words in a caption', captions.words),
        ...(captions.tokens ? [range('tokens in a caption', captions.tokens)] : []),
      ],
    },
    bins('Shorter side', 'pixels', report.sides),
    bins('Proportions', 'width to height', report.aspects),
    bins('Lengths of captions', unit, captions.lengths),
    {
      title: 'Formats',
      columns: ['format', 'images', '%'],
      rows: Object.entries(formats).map(([format, n]) => [format, n, rounded((100 * n) / images)]),
    },
    {
      title: 'Most frequent captions',
      columns: ['caption', 'images'],
      rows: captions.repeated.slice(0, 10).map(({ caption, images: n }) => [shorten(caption, 90), n]),
    },
    {
      title: 'Most frequent words',
      columns: ['word', 'times'],
      rows: captions.frequentWords.slice(0, 25).map(({ word, count: n }) => [shorten(word, 40), n]),
    },
    { title: 'Not compared, or not exact', columns: ['what'], rows: report.limits.map((text) => [text]) },
  ];
}

const percent = (n: number, bins: readonly Bin[]): number =>
  rounded(
    (100 * n) /
      Math.max(
        1,
        bins.reduce((sum, { count: each }) => sum + each, 0),
      ),
  );

const rounded = (value: number): number => Number(value.toFixed(1));

const shorten = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length)}…` : text;
