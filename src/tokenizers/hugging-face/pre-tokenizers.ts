// The pre-tokenizers of a tokenizer.json, each as Hugging Face's tokenizers (Rust) does it: a normalized text to the
// pieces that the model encodes, one by one.

import { z } from 'zod';
import { byteLevel } from './normalizers.ts';
import { BEHAVIORS, cut, literal, patternSchema } from './pattern.ts';
import { PUNCTUATION } from './unicode.ts';

/** Cuts a text between added tokens; `isFirst` is true at the start of all. */
export type Cut = (piece: string, isFirst: boolean) => string[];

export interface PreTokenizer {
  readonly cut: Cut;
  /** Whether the pieces are still to be spelled in the byte alphabet. */
  readonly isByteLevel: boolean;
  /** Whether it marks the start of all, and so has to be the first step. */
  readonly isForStart?: boolean;
}

const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const WORD_CHARACTERS = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';
const WORDS = new RegExp(`[${WORD_CHARACTERS}]+|[^${WORD_CHARACTERS}\\p{White_Space}]+`, 'gu');
const WHITE_SPACE = /\p{White_Space}+/gu;
const PUNCTUATION_MARK = new RegExp(`[${PUNCTUATION}]`, 'gu');
const BERT = new RegExp(`[${PUNCTUATION}]|[^\\p{White_Space}${PUNCTUATION}]+`, 'gu');

const always = <T extends string>(type: T) => z.object({ type: z.literal(type) });
const plain = (cut: Cut): PreTokenizer => ({ cut, isByteLevel: false });

interface MetaspaceSettings {
  readonly replacement: string;
  readonly scheme: 'always' | 'first' | 'never';
  readonly split: boolean;
}

function metaspace({ replacement, scheme, split }: MetaspaceSettings): PreTokenizer {
  const pattern = literal(replacement);
  const mark: Cut = (piece, isFirst) => {
    let text = piece.replaceAll(' ', () => replacement);
    const isMarked = scheme === 'always' || (scheme === 'first' && isFirst);
    if (isMarked && !text.startsWith(replacement)) text = replacement + text;
    return split ? cut(text, pattern, 'MergedWithNext') : [text];
  };
  return { cut: mark, isByteLevel: false, isForStart: scheme === 'first' };
}

/** One after the other. The byte alphabet of an earlier step is spelled before the next. */
function sequence(steps: readonly PreTokenizer[]): PreTokenizer {
  const last = steps.at(-1);
  return {
    isByteLevel: last?.isByteLevel ?? false,
    isForStart: steps[0]?.isForStart ?? false,
    cut: (piece, isFirst) =>
      steps.reduce<string[]>(
        (pieces, step) => {
          const cuts = pieces.flatMap((each) => step.cut(each, isFirst));
          return step.isByteLevel && step !== last ? cuts.map(byteLevel) : cuts;
        },
        [piece],
      ),
  };
}

export const preTokenizerSchema: z.ZodType<PreTokenizer> = z.lazy(() =>
  z.discriminatedUnion('type', [
    always('Sequence')
      .extend({
        pretokenizers: z
          .array(preTokenizerSchema)
          .refine(
            ([, ...later]) => !later.some(({ isForStart }) => isForStart),
            'prepend_scheme first after another step is not supported',
          ),
      })
      .transform(({ pretokenizers }) => sequence(pretokenizers)),
    always('BertPreTokenizer').transform(() => plain((piece) => piece.match(BERT) ?? [])),
    always('ByteLevel')
      .extend({ add_prefix_space: z.boolean().default(true), use_regex: z.boolean().default(true) })
      .transform(({ add_prefix_space, use_regex }): PreTokenizer => {
        const spaced = (piece: string): string =>
          add_prefix_space && !piece.startsWith(' ') ? ` ${piece}` : piece;
        return {
          cut: use_regex ? (piece) => spaced(piece).match(GPT2) ?? [] : (piece) => [spaced(piece)],
          isByteLevel: true,
        };
      }),
    always('Whitespace').transform(() => plain((piece) => piece.match(WORDS) ?? [])),
    always('WhitespaceSplit').transform(() => plain((piece) => cut(piece, WHITE_SPACE, 'Removed'))),
    always('Punctuation')
      .extend({ behavior: z.enum(BEHAVIORS).default('Isolated') })
      .transform(({ behavior }) => plain((piece) => cut(piece, PUNCTUATION_MARK, behavior))),
    always('Digits')
      .extend({ individual_digits: z.boolean().default(false) })
      .transform(({ individual_digits: isEach }) =>
        plain((piece) => cut(piece, /\p{N}/gu, isEach ? 'Isolated' : 'Contiguous')),
      ),
    always('CharDelimiterSplit')
      .extend({ delimiter: z.string().min(1) })
      .transform(({ delimiter }) => {
        const pattern = literal(delimiter);
        return plain((piece) => cut(piece, pattern, 'Removed'));
      }),
    always('Split')
      .extend({ pattern: patternSchema, behavior: z.enum(BEHAVIORS), invert: z.boolean().default(false) })
      .transform(({ pattern, behavior, invert }) => plain((piece) => cut(piece, pattern, behavior, invert))),
    always('Metaspace')
      .extend({
        replacement: z.string().min(1).default('▁'),
        prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
        add_prefix_space: z.boolean().optional(),
        split: z.boolean().default(true),
      })
      .transform(({ replacement, prepend_scheme, add_prefix_space, split }) =>
        // Older files say add_prefix_space.
        metaspace({
          replacement,
          split,
          scheme: prepend_scheme ?? (add_prefix_space === false ? 'never' : 'always'),
        }),
      ),
  ]),
);
