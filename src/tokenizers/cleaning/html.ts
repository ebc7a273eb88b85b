// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts are cleaned of them

// HTML's character references in texts, as Python's html.unescape and ftfy decode them. The names are those of the
// package `entities`.

import { decodeHTML, decodeHTMLStrict } from 'entities/decode';
import { fixControls } from './mojibake.ts';

const REFERENCE = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g;

/** Decodes all references, also those of old names without a semicolon (html.unescape). */
export const unescapeHtml = (text: string): string =>
  text.includes('&')
    ? text.replace(REFERENCE, (reference, body: string) =>
        body.startsWith('#') ? numeric(body) : decodeHTML(reference),
      )
    : text;

function numeric(body: string): string {
  const digits = body.replace(/[;#]/g, '');
  const code = /^x/i.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  if (code === 0x0d) return '\r';
  // HTML5 gives these numbers to the characters of Windows-1252.
  if (code >= 0x80 && code <= 0x9f) return fixControls(String.fromCharCode(code));
  const isNone =
    code < 9 || code === 0x0b || (code >= 0x0e && code < 0x20) || code === 0x7f || isNoncharacter(code);
  return isNone ? '' : String.fromCodePoint(code);
}

const isNoncharacter = (code: number): boolean =>
  (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;

const STRICT = /&#?[0-9A-Za-z]{1,24};/g;

/** Decodes references that end in a semicolon, and names of lower case that were made upper case (ftfy). */
export const unescapeStrict = (text: string): string =>
  text.replace(STRICT, (reference) => {
    if (reference.startsWith('&#')) {
      const decoded = unescapeHtml(reference);
      return decoded.includes(';') ? reference : decoded;
    }
    const decoded = decodeHTMLStrict(reference);
    if (decoded !== reference || /[a-z]/.test(reference) || decodeHTML(reference) !== reference)
      return decoded;
    const lower = reference.toLowerCase();
    const small = decodeHTMLStrict(lower);
    return small === lower ? reference : small.toUpperCase();
  });
