// Added tokens of a tokenizer.json: strings that are one token wherever they stand in a text, before it is normalized
// or after, as Hugging Face's tokenizers (Rust) finds them.

import { z } from 'zod';
import { type Normalize, stripLeft, stripRight } from './normalizers.ts';

export const addedTokenSchema = z.object({
  id: z.int().min(0),
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().optional(),
  special: z.boolean().default(false),
});
export type AddedToken = z.output<typeof addedTokenSchema>;

/** A special token, found in a text before it is normalized; `lstrip` takes the spaces on its left with it. */
export const specialToken = (id: number, content: string, lstrip = false): AddedToken => ({
  id,
  content,
  single_word: false,
  lstrip,
  rstrip: false,
  normalized: false,
  special: true,
});

/** A part of a text: an added token, or text between them. */
export type Section = { readonly text: string; readonly isFirst: boolean } | { readonly id: number };

const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const ENDS_WITH_WORD = new RegExp(`${WORD}$`, 'u');
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u');

/** Finds added tokens in a text. */
class Finder {
  readonly #pattern: RegExp | undefined;
  readonly #byContent: ReadonlyMap<string, AddedToken>;

  constructor(tokens: readonly (readonly [content: string, token: AddedToken])[]) {
    this.#byContent = new Map(tokens.filter(([content]) => content !== ''));
    // The leftmost, and of those the longest.
    const contents = [...this.#byContent.keys()].sort((a, b) => b.length - a.length);
    const escaped = contents.map((content) => content.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'));
    this.#pattern = contents.length > 0 ? new RegExp(escaped.join('|'), 'gu') : undefined;
  }

  split(text: string, isFirst: boolean): Section[] {
    const { index: first } = this.#pattern ? (text.match(new RegExp(this.#pattern, 'u')) ?? {}) : {};
    if (this.#pattern === undefined || first === undefined) return [{ text, isFirst }];
    const sections: Section[] = [];
    let end = 0;
    const push = (start: number, stop: number): void => {
      if (stop > start) sections.push({ text: text.slice(start, stop), isFirst: isFirst && start === 0 });
    };
    for (const { index, 0: content } of text.matchAll(this.#pattern)) {
      const token = this.#byContent.get(content) as AddedToken;
      let [start, stop] = [index, index + content.length];
      const isInWord = ENDS_WITH_WORD.test(text.slice(0, start)) || STARTS_WITH_WORD.test(text.slice(stop));
      if (token.single_word && isInWord) continue;
      if (token.lstrip) start = Math.max(end, stripRight(text.slice(0, start)).length);
      if (token.rstrip) stop = text.length - stripLeft(text.slice(stop)).length;
      push(end, start);
      sections.push({ id: token.id });
      end = stop;
    }
    push(end, text.length);
    return sections;
  }
}

export class AddedTokens {
  readonly #before: Finder;
  readonly #after: Finder;
  readonly #normalize: Normalize;

  constructor(tokens: readonly AddedToken[], normalize: Normalize) {
    const isNormalized = ({ normalized, special }: AddedToken): boolean => normalized ?? !special;
    this.#normalize = normalize;
    this.#before = new Finder(
      tokens.flatMap((token) => (isNormalized(token) ? [] : [[token.content, token] as const])),
    );
    this.#after = new Finder(
      tokens.flatMap((token) => (isNormalized(token) ? [[normalize(token.content), token] as const] : [])),
    );
  }

  /** The added tokens of a text, and the normalized text between them. */
  split(text: string): Section[] {
    return this.#before
      .split(text, true)
      .flatMap((section) =>
        'id' in section ? [section] : this.#after.split(this.#normalize(section.text), section.isFirst),
      );
  }
}
