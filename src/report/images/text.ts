// Text as SVG: measured, wrapped and drawn in the project's own strokes. Lines with characters outside that
// typeface (other scripts, emoji) become <text>, which the system's fonts draw; where a machine has no
// fonts at all, those lines alone stay empty.

import { CAP_HEIGHT, GLYPHS, type Glyph, SPACING, STROKE } from './font.ts';

/** A capital's height as a share of the font size, as in common typefaces. */
const CAP_SHARE = 0.7;
/** Guessed width of a character that the typeface lacks, as a share of the font size. */
const FOREIGN_WIDTH = 0.6;
const FOREIGN_WIDTH_WIDE = 1.05;
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

/** One line of text, with what the typeface lacks brought to what it has: é to e, ’ to '. */
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
  return size * (WIDE.test(character) ? FOREIGN_WIDTH_WIDE : FOREIGN_WIDTH);
}

/** Width in pixels of a folded line at a font size in pixels. */
export function textWidth(text: string, size: number): number {
  return graphemes(text).reduce((sum, character) => sum + characterWidth(character, size), 0);
}

/**
 * Lines of `text` that fit `width` pixels: broken at spaces, inside a word only where the word alone is too
 * wide, and ended by an ellipsis where `maxLines` do not hold it all.
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

/** Whether `x` is where a line starts or its middle. */
export type TextAnchor = 'start' | 'middle';

/** An SVG element with `line` centred on `x` (or starting there), its baseline at `y`; all in pixels. */
export function textSvg(
  line: string,
  x: number,
  y: number,
  size: number,
  color: string,
  anchor: TextAnchor = 'middle',
): string {
  const characters = graphemes(line);
  if (!characters.every(glyph)) {
    return `<text x="${x}" y="${y}" font-family="sans-serif" font-size="${size}" fill="${color}" text-anchor="${anchor}">${escapeMarkup(line)}</text>`;
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

/** Control characters, lone surrogates and non-characters. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

/** Text made safe inside XML and HTML, attributes included; characters that XML forbids are left out. */
export function escapeMarkup(text: string): string {
  return text
    .replaceAll(FORBIDDEN, '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
