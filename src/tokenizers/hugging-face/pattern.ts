// Patterns of a tokenizer.json: strings, and regular expressions in Oniguruma's syntax, which Hugging Face's own
// package translates into JavaScript's.

import { z } from 'zod';
import { translate } from './peer.ts';

export const patternSchema = z.union([
  z.object({ String: z.string().min(1) }).transform(({ String: text }) => literal(text)),
  z.object({ Regex: z.string().min(1) }).transform(({ Regex }, context) => {
    try {
      return translate(Regex);
    } catch {
      context.addIssue({ code: 'custom', message: `the regular expression ${Regex} cannot be translated` });
      return z.NEVER;
    }
  }),
]);

/** An expression that matches exactly `text`. */
export const literal = (text: string): RegExp =>
  new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu');

/** Which parts of a text pieces are made of: matches, and what is between them. */
export const BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;
export type Behavior = (typeof BEHAVIORS)[number];

interface Part {
  text: string;
  readonly isMatch: boolean;
}

/** Matches of `pattern` and what is between them, in order and without empty ones. */
function parts(text: string, pattern: RegExp, invert: boolean): Part[] {
  const result: Part[] = [];
  const push = (start: number, end: number, isMatch: boolean): void => {
    if (end > start) result.push({ text: text.slice(start, end), isMatch: isMatch !== invert });
  };
  let end = 0;
  for (const { index, 0: match } of text.matchAll(pattern)) {
    push(end, index, false);
    push(index, index + match.length, true);
    end = index + match.length;
  }
  push(end, text.length, false);
  return result;
}

/** Cuts a text at the matches of a pattern. With `invert`, what is between the matches counts as the matches. */
export function cut(text: string, pattern: RegExp, behavior: Behavior, invert = false): string[] {
  if (behavior === 'Removed' && invert) return text.match(pattern)?.filter((piece) => piece !== '') ?? [];
  const all = parts(text, pattern, invert);
  if (behavior === 'Removed') return all.flatMap((part) => (part.isMatch ? [] : [part.text]));
  if (behavior === 'Isolated') return all.map((part) => part.text);
  const pieces: string[] = [];
  const isReversed = behavior === 'MergedWithNext';
  let before: boolean | undefined;
  for (const { text: part, isMatch } of isReversed ? all.reverse() : all) {
    const isMerged = behavior === 'Contiguous' ? before === isMatch : isMatch && before === false;
    if (isMerged) pieces.push(isReversed ? part + pieces.pop() : pieces.pop() + part);
    else pieces.push(part);
    before = isMatch;
  }
  return isReversed ? pieces.reverse() : pieces;
}
