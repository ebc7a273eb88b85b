// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts are cleaned of them

// Mojibake: text of one encoding that was read in another, found and repaired as ftfy 6.3 does it (Apache-2.0,
// Robyn Speer). Bytes are strings of the characters U+0000 to U+00FF here, so that expressions apply to them.

import { BADNESS, ENCODINGS, UTF8_DETECTOR } from './tables.ts';

const BAD = new RegExp(BADNESS, 'u');
const DETECTOR = new RegExp(UTF8_DETECTOR, 'gu');
const isAscii = (text: string): boolean => !/[^\0-\x7f]/.test(text);

export interface Encoding {
  readonly name: string;
  /** Bytes of a text; undefined when it has other characters. */
  encode(text: string): string | undefined;
}

const LATIN_1: Encoding = {
  name: 'latin-1',
  encode: (text) => (/[^\0-\xff]/.test(text) ? undefined : text),
};

/** With `sloppy` encodings, byte 0x1a stands for a character that was lost. */
function encoding(name: string, characters: string): Encoding {
  const bytes = new Map(Array.from(characters, (character, i) => [character, String.fromCharCode(0x80 + i)]));
  for (let code = 0; code < 0x80; code++) bytes.set(String.fromCharCode(code), String.fromCharCode(code));
  if (name.startsWith('sloppy')) {
    bytes.delete('\x1a');
    bytes.set('\ufffd', '\x1a');
  }
  return {
    name,
    encode(text) {
      let result = '';
      for (const character of text) {
        const byte = bytes.get(character);
        if (byte === undefined) return undefined;
        result += byte;
      }
      return result;
    },
  };
}

const ALL: readonly Encoding[] = [
  LATIN_1,
  ...ENCODINGS.map(([name, characters]) => encoding(name, characters)),
];
const WINDOWS_1252 = (
  ENCODINGS.find(([name]) => name === 'sloppy-windows-1252') as readonly string[]
)[1] as string;

/** UTF-8 with a space where 0xa0 was. */
const ALTERED =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] /g;
/** "à" as a word, and the beginnings of Portuguese words. */
const A_GRAVE = /\xc3 (?! |quele|quela|quilo|s )/g;
/** UTF-8 of which bytes were lost. */
const LOSSY =
  /[\xc2-\xdf]\x1a|[\xc2-\xc3]\?|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]|\x1a/g;
const LOST = '\xef\xbf\xbd';

const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeStrict(bytes: string): string | undefined {
  try {
    return UTF_8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return undefined;
  }
}

/** Java's zero, and characters as two surrogates (CESU-8). */
const VARIANTS = /(\xc0\x80|\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])/;

function decode(bytes: string): string | undefined {
  if (!/[\xc0\xed]/.test(bytes)) return decodeStrict(bytes);
  const parts = bytes.split(VARIANTS).map((part, i) => {
    if (i % 2 === 0) return decodeStrict(part);
    if (part.length === 2) return '\0';
    const bits = (at: number, mask: number): number => part.charCodeAt(at) & mask;
    return String.fromCodePoint(
      0x10000 + (bits(1, 0x0f) << 16) + (bits(2, 0x3f) << 10) + (bits(4, 0x0f) << 6) + bits(5, 0x3f),
    );
  });
  return parts.includes(undefined) ? undefined : parts.join('');
}

/** The C1 controls as the characters of Windows-1252 that they usually are. */
export const fixControls = (text: string): string =>
  text.replace(/[\x80-\x9f]/g, (character) => WINDOWS_1252[character.charCodeAt(0) - 0x80] as string);

/** One step of the repair; the text itself when there is none. */
function repairOnce(text: string): string {
  if (isAscii(text) || !BAD.test(text)) return text;
  let isLatin1 = false;
  for (const { name, encode } of ALL) {
    let bytes = encode(text);
    if (bytes === undefined) continue;
    isLatin1 ||= name === 'latin-1';
    if (name !== 'macroman' && new RegExp(ALTERED, '').test(bytes))
      bytes = bytes.replace(A_GRAVE, '\xc3\xa0 ').replace(ALTERED, (part) => part.replaceAll(' ', '\xa0'));
    if (name.startsWith('sloppy')) bytes = bytes.replace(LOSSY, LOST);
    const decoded = decode(bytes);
    if (decoded !== undefined) return decoded;
  }
  const apart = text.replace(DETECTOR, (part) =>
    part.length < text.length && BAD.test(part) ? repairMojibake(part) : part,
  );
  if (apart !== text) return apart;
  // Bytes without a character in Windows-1252 stop this repair.
  if (isLatin1 && !/[\x81\x8d\x8f\x90\x9d]/.test(text)) {
    const fixed = fixControls(text);
    if (fixed !== text) return fixed;
  }
  return fixControls(text);
}

/** Repairs a line of text that was decoded wrongly, as often as it was. */
export function repairMojibake(text: string): string {
  for (let current = text; ; ) {
    const next = repairOnce(current);
    if (next === current) return current;
    current = next;
  }
}
