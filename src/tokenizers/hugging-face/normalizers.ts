// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts are cleaned of them

// The normalizers of a tokenizer.json, each as Hugging Face's tokenizers (Rust) does it: a text to the text whose words
// are encoded. What differs from JavaScript's own methods: each character is lower-cased alone, and white space is
// Unicode's property.

import { z } from 'zod';
import { BYTE_CHARACTERS } from '../alphabet.ts';
import { Charsmap } from './charsmap.ts';
import { patternSchema } from './pattern.ts';
import { ACCENT, MARK, REMOVED } from './unicode.ts';

export type Normalize = (text: string) => string;

const ASCII = /^[\x20-\x7e]*$/;

/** JavaScript has a rule for a capital sigma at the end of a word, and Rust has not. */
export const lowerCase: Normalize = (text) => text.replaceAll('Σ', 'σ').toLowerCase();

const WHITE_SPACE = /\p{White_Space}/u;
export const stripLeft: Normalize = (text) => text.replace(/^\p{White_Space}+/u, '');
/** Not by an expression, whose time would grow with the square of a run of white space inside the text. */
export const stripRight: Normalize = (text) => {
  let end = text.length;
  while (end > 0 && WHITE_SPACE.test(text[end - 1] as string)) end--;
  return text.slice(0, end);
};

/** Blocks of Chinese characters, each of which is a word of BERT. */
const CHINESE =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

const REMOVED_CHARACTERS = new RegExp(`[${REMOVED}]`, 'gu');
const MARKS = new RegExp(`[${MARK}]`, 'gu');
const ACCENTS = new RegExp(`[${ACCENT}]`, 'gu');

const cleanBert: Normalize = (text) => text.replace(REMOVED_CHARACTERS, '').replace(/\p{White_Space}/gu, ' ');

interface BertSteps {
  readonly clean_text: boolean;
  readonly handle_chinese_chars: boolean;
  readonly strip_accents?: boolean | null | undefined;
  readonly lowercase: boolean;
}

function bert({ clean_text, handle_chinese_chars, strip_accents, lowercase }: BertSteps): Normalize {
  const strips = strip_accents ?? lowercase;
  return (text) => {
    if (ASCII.test(text)) return lowercase ? text.toLowerCase() : text;
    let result = clean_text ? cleanBert(text) : text;
    if (handle_chinese_chars) result = result.replace(CHINESE, ' $& ');
    if (strips) result = result.normalize('NFD').replace(ACCENTS, '');
    return lowercase ? lowerCase(result) : result;
  };
}

/** SentencePiece's rules: control characters removed, odd white space made a space. */
const nmt: Normalize = (text) =>
  text
    .replace(/[\u0001-\u0008\u000B\u000E-\u001F\u007F\u008F\u009F]/g, '')
    .replace(/[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/g, ' ');

const always = <T extends string>(type: T) => z.object({ type: z.literal(type) });

export const normalizerSchema: z.ZodType<Normalize> = z.lazy(() =>
  z.discriminatedUnion('type', [
    always('Sequence')
      .extend({ normalizers: z.array(normalizerSchema) })
      .transform(
        ({ normalizers }): Normalize =>
          (text) =>
            normalizers.reduce((t, apply) => apply(t), text),
      ),
    always('BertNormalizer')
      .extend({
        clean_text: z.boolean().default(true),
        handle_chinese_chars: z.boolean().default(true),
        strip_accents: z.boolean().nullish(),
        lowercase: z.boolean().default(true),
      })
      .transform(bert),
    always('Lowercase').transform(() => lowerCase),
    ...(['NFC', 'NFD', 'NFKC', 'NFKD'] as const).map((form) =>
      always(form).transform((): Normalize => (text) => text.normalize(form)),
    ),
    always('Strip')
      .extend({ strip_left: z.boolean().default(true), strip_right: z.boolean().default(true) })
      .transform(({ strip_left, strip_right }): Normalize => {
        const left: Normalize = strip_left ? stripLeft : (text) => text;
        return strip_right ? (text) => stripRight(left(text)) : left;
      }),
    always('StripAccents').transform((): Normalize => (text) => text.replace(MARKS, '')),
    always('Replace')
      .extend({ pattern: patternSchema, content: z.string() })
      .transform(
        ({ pattern, content }): Normalize =>
          (text) =>
            text.replace(pattern, () => content),
      ),
    always('Prepend')
      .extend({ prepend: z.string() })
      .transform(
        ({ prepend }): Normalize =>
          (text) =>
            text === '' ? '' : prepend + text,
      ),
    always('Nmt').transform(() => nmt),
    always('ByteLevel').transform(() => byteLevel),
    always('Precompiled')
      .extend({ precompiled_charsmap: z.string().nullable(), longest_match: z.boolean().default(false) })
      .transform(({ precompiled_charsmap: map, longest_match: isLongest }, context): Normalize => {
        if (map === null || map === '') return (text) => text;
        const charsmap = Charsmap.read(Buffer.from(map, 'base64'));
        if (charsmap)
          return isLongest ? (text) => charsmap.applyLongest(text) : (text) => charsmap.apply(text);
        context.addIssue({ code: 'custom', message: 'its precompiled_charsmap is damaged' });
        return z.NEVER;
      }),
  ]),
);

/** A character of GPT-2's alphabet for each byte. */
export function byteLevel(text: string): string {
  let result = '';
  for (const byte of Buffer.from(text, 'utf8')) result += BYTE_CHARACTERS[byte];
  return result;
}
