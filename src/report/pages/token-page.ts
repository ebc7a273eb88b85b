// The page of `mm data check` on token shards: its figures and tables. Its images are those that mm reconstruct makes.

import type { TokenReport } from '../../data/check/check-tokens.ts';
import type { Range } from '../../data/check/distribution.ts';
import type { Groups, Listed } from '../../data/check/lists.ts';
import { type GalleryTable, htmlPage, tableHtml } from './gallery.ts';

/** Rows of a table, at most. */
const MAX_ROWS = 50;

export interface TokenPageFigures {
  /** Codes that are used, and exp(entropy) of their use. */
  readonly used: number;
  readonly perplexity: number;
  readonly textLength: number;
}

/** The page's HTML. */
export function tokenPage(report: TokenReport, { used, perplexity, textLength }: TokenPageFigures): string {
  const { captions, images, vocabulary, grid } = report;
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
    list(`Captions of more than ${textLength} ${unit}`, captions.tooLong),
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
      { value: images.toLocaleString('en'), label: 'images' },
      { value: `${grid} × ${grid}`, label: 'codes each' },
      { value: captions.count.toLocaleString('en'), label: 'with a caption' },
      { value: `${used} of ${vocabulary}`, label: 'codes used' },
      { value: perplexity.toFixed(1), label: 'perplexity' },
    ],
    main: tables
      .filter(({ rows }) => rows.length > 0)
      .map(tableHtml)
      .join('\n'),
    footer: 'Made by mm data check.',
  });
}
