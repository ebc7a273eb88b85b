// The page of `mm data check` on token shards: its figures and tables, and images where a dVAE has decoded them.

import type { TokenReport } from '../../data/check/check-tokens.ts';
import type { Range } from '../../data/check/distribution.ts';
import type { Groups, Listed } from '../../data/check/lists.ts';
import { counted } from '../../util/counted.ts';
import { type GallerySection, type GalleryTable, htmlPage, sectionHtml, tableHtml } from './gallery.ts';

/** Rows of a table, at most. */
const MAX_ROWS = 50;

export interface TokenPageFigures {
  /** Codes that are used, and exp(entropy) of their use. */
  readonly used: number;
  readonly perplexity: number;
  readonly textLength: number;
}

/** An image of the page. */
export interface TokenImage {
  readonly png: Uint8Array;
  readonly caption: string | undefined;
}

/** A name that a section shows, and what is to be said of it. */
interface Shown {
  readonly key: string;
  readonly says?: Readonly<Record<string, string>>;
}

/** Images of a section, and of a group of copies. */
const [MAX_CARDS, MAX_IN_GROUP] = [18, 6];

/** The names of each section with images: the first of each kind. */
export function shownOnPage(
  { captions, duplicates, nearDuplicates }: TokenReport,
  some: readonly string[],
): ReadonlyMap<string, readonly Shown[]> {
  const grouped = ({ first }: Groups): Shown[] =>
    first.flatMap((group, i) =>
      group
        .slice(0, MAX_IN_GROUP)
        .map((key) => ({ key, says: { group: `${i + 1}, of ${group.length} images` } })),
    );
  const plain = (keys: readonly string[]): Shown[] => keys.map((key) => ({ key }));
  const tooLong = captions.tooLong.first.map(({ file, words, tokens }) => ({
    ...{
      key: file,
      says: { caption: tokens === undefined ? counted(words, 'word') : counted(tokens, 'token') },
    },
  }));
  const sections: [string, Shown[]][] = [
    ['Some of the images', plain(some)],
    ['Images with the same codes', grouped(duplicates)],
    ['Images with nearly the same codes', grouped(nearDuplicates)],
    ['Images without a caption', captions.count > 0 ? plain(captions.missing.first) : []],
    ['Images whose captions are too long', tooLong],
  ];
  return new Map(sections.map(([title, shown]) => [title, shown.slice(0, MAX_CARDS)]));
}

function imageSections(
  sections: ReadonlyMap<string, readonly Shown[]>,
  images: ReadonlyMap<string, TokenImage>,
): GallerySection[] {
  return [...sections].flatMap(([title, shown]) => {
    const cards = shown.flatMap(({ key, says }) => {
      const image = images.get(key);
      if (!image) return [];
      const { png, caption } = image;
      const settings = { key, ...says };
      return [{ png, prompt: caption ?? '', showsPrompt: caption !== undefined, alt: key, settings }];
    });
    return cards.length > 0 ? [{ title, text: 'As the dVAE decodes them.', cards }] : [];
  });
}

/** The page's HTML. @param images by their keys, those of `shownOnPage` */
export function tokenPage(
  report: TokenReport,
  { used, perplexity, textLength }: TokenPageFigures,
  sections: ReadonlyMap<string, readonly Shown[]> = new Map(),
  images: ReadonlyMap<string, TokenImage> = new Map(),
): string {
  const { captions, vocabulary, grid } = report;
  const unit = captions.tokens ? 'tokens' : 'words';
  const list = (title: string, { count, first }: Listed): GalleryTable => ({
    title: `${title}: ${count}`,
    columns: ['image'],
    rows: first.slice(0, MAX_ROWS).map((name) => [name]),
  });
  const groups = (title: string, { images: count, first }: Groups): GalleryTable => ({
    title: `${title}: ${count}`,
    columns: ['images of a group', 'number'],
    rows: first.slice(0, MAX_ROWS).map((group) => [group.slice(0, 6).join(', '), group.length]),
  });
  const range = (name: string, values: Range | undefined) =>
    [name, values?.min, values?.median, values?.max] as const;
  const tables: GalleryTable[] = [
    list('Could not be encoded', report.skipped),
    list('No caption', captions.missing),
    list(`Captions of more than ${textLength} ${unit}`, {
      count: captions.tooLong.count,
      first: captions.tooLong.first.map(({ file, words, tokens = words }) => `${file} (${tokens})`),
    }),
    groups('Same codes', report.duplicates),
    groups('Nearly the same codes', report.nearDuplicates),
    {
      title: 'Lengths of captions',
      columns: ['', 'least', 'median', 'most'],
      rows: [range('words', captions.words), ...(captions.tokens ? [range('tokens', captions.tokens)] : [])],
    },
    { title: unit, columns: [unit, 'captions'], rows: captions.lengths.map((bin) => [bin.range, bin.count]) },
    {
      title: 'Most frequent words',
      columns: ['word', 'times'],
      rows: captions.frequentWords.slice(0, 25).map(({ word, count }) => [word, count]),
    },
    { title: 'Not compared, or not exact', columns: ['what'], rows: report.limits.map((limit) => [limit]) },
  ];
  return htmlPage({
    title: 'Token shards',
    subtitle: report.path,
    figures: [
      { value: report.images.toLocaleString('en'), label: 'images' },
      { value: `${grid} × ${grid}`, label: 'codes each' },
      { value: captions.count.toLocaleString('en'), label: 'with a caption' },
      { value: used.toLocaleString('en'), label: `codes used, of ${vocabulary.toLocaleString('en')}` },
      { value: perplexity.toFixed(1), label: 'perplexity' },
    ],
    main: [
      ...imageSections(sections, images).map(sectionHtml),
      ...tables.filter(({ rows }) => rows.length > 0).map(tableHtml),
    ].join('\n'),
    footer: 'Made by mm data check.',
  });
}
