// A page of images as one HTML file without scripts or external files, which opens from a mail attachment too.

import { writeFileAtomic } from '../../util/files.ts';
import { pngSize } from '../images/png.ts';
import { escapeMarkup } from '../images/text.ts';
import { GALLERY_STYLE } from './gallery-style.ts';

export interface GalleryPage {
  readonly title: string;
  readonly subtitle?: string;
  /** Names and values that hold for all images, in small print under the title. */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** The main results, shown large. */
  readonly figures?: readonly GalleryFigure[];
  readonly tables?: readonly GalleryTable[];
  readonly sections: readonly GallerySection[];
  /** Last line of the page, for example the command that made it. */
  readonly footer?: string;
}

export interface GalleryFigure {
  readonly value: string;
  readonly label: string;
}

export interface GalleryTable {
  readonly title: string;
  readonly columns: readonly string[];
  /** Numbers are right-aligned; `undefined` is an empty cell. */
  readonly rows: readonly (readonly (string | number | undefined)[])[];
}

export interface GallerySection {
  readonly title: string;
  readonly text?: string;
  readonly cards: readonly GalleryCard[];
}

export interface GalleryCard {
  /** An encoded PNG. */
  readonly png: Uint8Array;
  readonly prompt: string;
  /** Whether the prompt is shown under the image; true by default. */
  readonly showsPrompt?: boolean;
  /** Text alternative of the image; `Image for “prompt”` by default. */
  readonly alt?: string;
  readonly mark?: 'right' | 'wrong';
  readonly score?: number;
  readonly seed?: number;
  readonly settings?: Readonly<Record<string, string | number>>;
}

const POLICY =
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** Images of fewer pixels on a side are enlarged with square pixels. */
const PIXELATED_BELOW = 128;

/** Writes the page, atomically. */
export async function writeGallery(path: string, page: GalleryPage): Promise<void> {
  await writeFileAtomic(path, galleryHtml(page));
}

/** The page's HTML; every text in it is escaped. */
export function galleryHtml(page: GalleryPage): string {
  const main = [...(page.tables ?? []).map(tableHtml), ...page.sections.map(sectionHtml)];
  return htmlPage({ ...page, main: main.join('\n') });
}

export interface HtmlPage extends Pick<GalleryPage, 'title' | 'subtitle' | 'facts' | 'figures' | 'footer'> {
  /** HTML. */
  readonly main: string;
  /** CSS in addition to the gallery's. */
  readonly style?: string;
}

/** A page under the gallery's content security policy: it runs no scripts and loads nothing. */
export function htmlPage(page: HtmlPage): string {
  const title = escapeMarkup(page.title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${GALLERY_STYLE}${page.style ?? ''}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${element('p', page.subtitle, 'subtitle')}
${factList(Object.entries(page.facts ?? {}), 'facts')}
${figures(page.figures ?? [])}
</header>
<main>
${page.main}
</main>
${element('footer', page.footer)}
</body>
</html>
`;
}

function element(tag: string, text: string | undefined, className?: string): string {
  if (text === undefined) return '';
  const attribute = className === undefined ? '' : ` class="${className}"`;
  return `<${tag}${attribute} dir="auto">${escapeMarkup(text)}</${tag}>`;
}

function figures(items: readonly GalleryFigure[]): string {
  if (items.length === 0) return '';
  const tiles = items.map(
    ({ value, label }) => `<div><dt>${escapeMarkup(label)}</dt><dd>${escapeMarkup(value)}</dd></div>`,
  );
  return `<dl class="figures">${tiles.join('')}</dl>`;
}

export function tableHtml({ title, columns, rows }: GalleryTable): string {
  const isNumber = columns.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  const cell = (tag: 'th' | 'td', value: string | number | undefined, column: number): string => {
    const scope = tag === 'th' ? ' scope="col"' : '';
    const className = isNumber[column] ? ' class="number"' : '';
    return `<${tag}${scope}${className}>${escapeMarkup(formatValue(value))}</${tag}>`;
  };
  const body = rows.map(
    (row) => `<tr>${row.map((value, column) => cell('td', value, column)).join('')}</tr>`,
  );
  return `<section>
<h2>${escapeMarkup(title)}</h2>
<div class="scroll"><table>
<thead><tr>${columns.map((name, column) => cell('th', name, column)).join('')}</tr></thead>
<tbody>${body.join('\n')}</tbody>
</table></div>
</section>`;
}

export function sectionHtml({ title, text, cards }: GallerySection): string {
  return `<section>
<h2><bdi>${escapeMarkup(title)}</bdi> <span class="count">${cards.length}</span></h2>
${element('p', text, 'text')}
<ul class="cards">
${cards.map(card).join('\n')}
</ul>
</section>`;
}

function card({
  png,
  prompt,
  showsPrompt = true,
  alt = `Image for “${prompt}”`,
  ...details
}: GalleryCard): string {
  const { width, height } = pngSize(png);
  const pixelated = Math.max(width, height) < PIXELATED_BELOW ? ' class="pixelated"' : '';
  const facts: [string, string | number][] = [];
  if (details.score !== undefined) facts.push(['score', details.score]);
  if (details.seed !== undefined) facts.push(['seed', String(details.seed)]);
  facts.push(...Object.entries(details.settings ?? {}));
  return (
    `<li${details.mark ? ` class="${details.mark}"` : ''}>` +
    `<img${pixelated} src="data:image/png;base64,${Buffer.from(png).toString('base64')}" ` +
    `width="${width}" height="${height}" alt="${escapeMarkup(alt)}">` +
    `<div class="words">${details.mark ? MARKS[details.mark] : ''}` +
    `${element('p', showsPrompt ? prompt : undefined, 'prompt')}${factList(facts)}</div></li>`
  );
}

/** Names and values as a list; an empty string without any. */
function factList(facts: readonly (readonly [string, string | number])[], className?: string): string {
  if (facts.length === 0) return '';
  const attribute = className === undefined ? '' : ` class="${className}"`;
  const items = facts.map(
    ([name, value]) =>
      `<div><dt>${escapeMarkup(name)}</dt><dd>${escapeMarkup(formatValue(value))}</dd></div>`,
  );
  return `<dl${attribute}>${items.join('')}</dl>`;
}

const MARKS = {
  right: '<span class="mark">✓ right</span>',
  wrong: '<span class="mark">✗ wrong</span>',
} as const;

/** Integers with thousands separators, other numbers with four significant digits. */
function formatValue(value: string | number | undefined): string {
  if (typeof value !== 'number') return value ?? '';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}
