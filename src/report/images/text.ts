// Text as SVG, measured, wrapped and rendered in the project's single-stroke typeface (font.ts). Lines with other
// characters (other scripts, emoji) become <text> elements in the system's fonts; on a machine without fonts, only
// those lines stay empty.

import { CAP_HEIGHT, GLYPHS, type Glyph, SPACING, STROKE } from './font.ts';

/** Height of a capital as a share of the font size, as in common typefaces. */
const CAP_SHARE = 0.7;
/** Estimated width of a character outside the typeface, as a share of the font size. */
const FALLBACK_WIDTH = 0.6;
const FALLBACK_WIDTH_WIDE = 1.05;
const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Extended_Pictographic}]/u;

const TYPOGRAPHIC: Readonly<Record<string, string>> = {
  '‘': "'",
  '’': "'",
  '“': '"',
  '”': '"',
  '‐': '-',
  '−': '–',
};

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

export function graphemes(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/** One line of text, with characters outside the typeface replaced by similar ones in it: é by e, ’ by '. */
export function foldText(text: string): string {
  return graphemes(text.trim().replaceAll(/\s+/g, ' '))
    .map((character) => {
      if (glyph(character)) return character;
      const plain = TYPOGRAPHIC[character] ?? character.normalize('NFKD').replaceAll(/\p{M}/gu, '');
      return plain !== '' && graphemes(plain).every(glyph) ? plain : character;
    })
    .join('');
}

function glyph(character: string): Glyph | undefined {
  return Object.hasOwn(GLYPHS, character) ? GLYPHS[character] : undefined;
}

const unit = (size: number): number => (size * CAP_SHARE) / CAP_HEIGHT;

function characterWidth(character: string, size: number): number {
  const known = glyph(character);
  if (known) return (known[0] + SPACING) * unit(size);
  return size * (WIDE.test(character) ? FALLBACK_WIDTH_WIDE : FALLBACK_WIDTH);
}

/** Width in pixels of a line from `foldText`, at a font size in pixels. */
export function textWidth(text: string, size: number): number {
  return graphemes(text).reduce((sum, character) => sum + characterWidth(character, size), 0);
}

/**
 * Breaks text into lines of at most `width` pixels, at spaces, and inside words that are wider than a line.
 * Text of more than `maxLines` lines ends with an ellipsis.
 */
export function wrapText(text: string, width: number, size: number, maxLines: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of foldText(text).split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if (textWidth(joined, size) <= width) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = breakWord(word, width, size);
    line = pieces.pop() ?? '';
    lines.push(...pieces);
  }
  if (line !== '') lines.push(line);
  if (lines.length <= maxLines) return lines;
  const kept = lines.slice(0, maxLines);
  kept[maxLines - 1] = ellipsise(kept[maxLines - 1] ?? '', width, size);
  return kept;
}

function breakWord(word: string, width: number, size: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const character of graphemes(word)) {
    if (piece !== '' && textWidth(piece + character, size) > width) {
      pieces.push(piece);
      piece = '';
    }
    piece += character;
  }
  return [...pieces, piece];
}

function ellipsise(line: string, width: number, size: number): string {
  const characters = graphemes(line);
  while (characters.length > 0 && textWidth(`${characters.join('')}…`, size) > width) characters.pop();
  return `${characters.join('').trimEnd()}…`;
}

/** Whether `x` is the start or the middle of a line. */
export type TextAnchor = 'start' | 'middle';

/** The place and style of a line of text, in pixels. */
export interface TextPlacement {
  readonly x: number;
  readonly baseline: number;
  /** Font size. */
  readonly size: number;
  readonly color: string;
  /** `middle` by default. */
  readonly anchor?: TextAnchor;
}

/** A line of text as an SVG element. */
export function textSvg(
  line: string,
  { x, baseline: y, size, color, anchor = 'middle' }: TextPlacement,
): string {
  const characters = graphemes(line);
  if (!characters.every(glyph)) {
    return (
      `<text x="${x}" y="${y}" font-family="sans-serif" font-size="${size}" fill="${color}" ` +
      `text-anchor="${anchor}">${escapeMarkup(line)}</text>`
    );
  }
  const scale = unit(size);
  let offset = SPACING / 2;
  const strokes = characters.map((character) => {
    const [width, path] = glyph(character) as Glyph;
    const at = offset;
    offset += width + SPACING;
    return path === '' ? '' : `<path transform="translate(${round(at)} 0)" d="${path}"/>`;
  });
  const left = anchor === 'middle' ? x - textWidth(line, size) / 2 : x;
  return (
    `<g transform="translate(${round(left)} ${round(y - CAP_HEIGHT * scale)}) scale(${scale})" fill="none" ` +
    `stroke="${color}" stroke-width="${STROKE}" stroke-linecap="round" stroke-linejoin="round">${strokes.join('')}</g>`
  );
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** Characters that XML forbids: control characters, lone surrogates, non-characters. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/** Escapes text for XML and HTML, including attributes; characters that XML forbids are removed. */
export function escapeMarkup(text: string): string {
  return text
    .replaceAll(FORBIDDEN, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
