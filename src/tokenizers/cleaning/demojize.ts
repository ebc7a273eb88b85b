// Emojis spelled out by their English names, as the package emoji does for Python (demojize, without delimiters).

import { inflateSync } from 'node:zlib';
import { EMOJI_NAMES } from './emoji-names.ts';

/** Variation selectors, which names do not depend on; before a skin tone one keeps it from the emoji. */
const SELECTORS = /\ufe0f(?![\u{1f3fb}-\u{1f3ff}])/gu;
/** The characters of skin tones, and their words in names. */
const TONES = [
  ['\u{1f3fb}', 'light'],
  ['\u{1f3fc}', 'medium-light'],
  ['\u{1f3fd}', 'medium'],
  ['\u{1f3fe}', 'medium-dark'],
  ['\u{1f3ff}', 'dark'],
] as const;

let names: ReadonlyMap<string, string> | undefined;
/** Code points of the longest emoji. */
let longest = 0;

/** Names by emoji, without variation selectors. */
function table(): ReadonlyMap<string, string> {
  if (names) return names;
  const entries = inflateSync(Buffer.from(EMOJI_NAMES, 'base64')).toString().split(' ');
  const all = entries.flatMap((entry) => {
    // The sign = is part of no name, and of no emoji; * is an emoji's beginning only in a keycap.
    const [emoji, name] = entry.split('=') as [string, string];
    if (!name.includes('_*_')) return [[emoji, name] as const];
    return TONES.map(([tone, word]) => [emoji.replace('*', tone), name.replace('*', word)] as const);
  });
  names = new Map(all);
  longest = Math.max(...all.map(([emoji]) => [...emoji].length));
  return names;
}

/** The text with each emoji replaced by its name in lower case and ASCII, such as red_heart; the longest ones first. */
export function demojize(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  const known = table();
  const characters = [...text.replaceAll(SELECTORS, '')];
  let result = '';
  for (let i = 0; i < characters.length; ) {
    let length = Math.min(longest, characters.length - i);
    let name: string | undefined;
    while (length > 0) {
      name = known.get(characters.slice(i, i + length).join(''));
      if (name !== undefined) break;
      length--;
    }
    result += name ?? characters[i];
    i += Math.max(length, 1);
  }
  return result;
}
