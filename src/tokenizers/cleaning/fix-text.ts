// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts are cleaned of them

// ftfy.fix_text, version 6.3 with its defaults (Apache-2.0, Robyn Speer), which OpenAI's CLIP, open_clip and
// DALLE-pytorch apply to captions before they are encoded.

import { unescapeStrict } from './html.ts';
import { fixControls, repairMojibake } from './mojibake.ts';

const LIGATURES: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const LIGATURE = new RegExp(`[${Object.keys(LIGATURES).join('')}]`, 'gu');
/** Terminals' escape sequences, and control characters without an effect. */
const TERMINAL = /\x1b\[[\d;]*[a-zA-Z]/gu;
const CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/gu;
/** Longest piece of a text that is repaired as a whole, in characters. */
const MAX_LENGTH = 1_000_000;

const STEPS: readonly ((text: string) => string)[] = [
  repairMojibake,
  fixControls,
  (text) => text.replace(LIGATURE, (ligature) => LIGATURES[ligature] as string),
  (text) => text.replace(/[\u3000\uff01-\uffef]/gu, (wide) => wide.normalize('NFKC')),
  (text) => text.replace(/[\u201c-\u201f]/gu, '"').replace(/[\u02bc\u2018-\u201b]/gu, "'"),
  (text) => text.replace(/\r\n|[\r\u2028\u2029\x85]/gu, '\n'),
  (text) => text.replace(/\p{Cs}/gu, '\ufffd'),
  (text) => text.replace(TERMINAL, ''),
  (text) => text.replace(CONTROL, ''),
  (text) => text.normalize('NFC'),
];

function fixLine(line: string, isHtml: boolean): string {
  for (let text = line; ; ) {
    const before = text;
    if (!isHtml) text = unescapeStrict(text);
    for (const step of STEPS) text = step(text);
    if (text === before) return text;
  }
}

/** Nothing that any step changes: printable ASCII without a character reference. */
const PLAIN = /^[\x20-\x25\x27-\x7e]*$/;

/** Repairs a text line by line. From a line with a < on, character references stay as they are. */
export function fixText(text: string): string {
  if (PLAIN.test(text)) return text;
  let isHtml = false;
  let result = '';
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start) + 1 || text.length;
    const line = text.slice(start, Math.min(end, start + MAX_LENGTH));
    isHtml ||= line.includes('<');
    result += fixLine(line, isHtml);
    start += line.length;
  }
  return result;
}
