// The byte-pair model of a tokenizer.json: symbols are characters, with the affixes of their place, merged by rank.

import { type Merge, MergeTable } from '../merges.ts';
import { byteIds, type Fail, idIn, type Model } from './model.ts';

export interface BytePairs {
  readonly unk_token?: string | null | undefined;
  readonly continuing_subword_prefix: string;
  readonly end_of_word_suffix: string;
  readonly fuse_unk: boolean;
  readonly byte_fallback: boolean;
  readonly ignore_merges: boolean;
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly (readonly [left: string, right: string])[];
}

/** SentencePiece's space. */
const SPACE = '▁';
/** A token that reaches over the start of a word. */
const ACROSS = /[^▁]▁/u;
const WORDS = /▁*[^▁]+|▁+/gu;

/**
 * Whether words, each with the spaces before it, can be encoded by themselves: no merge makes a token of two, and a
 * space is a token, which also ends a run of unknown characters.
 */
function isWordwise({ vocab, merges, ignore_merges, ...settings }: BytePairs): boolean {
  return (
    vocab.has(SPACE) &&
    settings.continuing_subword_prefix === '' &&
    settings.end_of_word_suffix === '' &&
    !merges.some(([left, right]) => ACROSS.test(left + right)) &&
    !(ignore_merges && [...vocab.keys()].some((token) => ACROSS.test(token)))
  );
}

export function bytePairs(settings: BytePairs, fail: Fail): Model {
  const { vocab: ids, continuing_subword_prefix: prefix, end_of_word_suffix: suffix, fuse_unk } = settings;
  const idOf = idIn(ids, fail);
  const merges = settings.merges.map(
    ([left, right]): Merge => ({
      left: idOf(left),
      right: idOf(right),
      result: idOf(left + right.slice(prefix.length)),
    }),
  );
  const table = new MergeTable(merges, 1 + [...ids.values()].reduce((most, id) => Math.max(most, id), 0));
  // A byte-level vocabulary never needs its unknown token, and may lack it.
  const { unk_token: unknown } = settings;

  const symbols = (piece: string): number[] => {
    const characters = [...piece];
    const result: number[] = [];
    let isPending = false;
    const end = (): void => {
      if (isPending && unknown) result.push(idOf(unknown));
      isPending = false;
    };
    for (const [i, character] of characters.entries()) {
      const spelled = `${i > 0 ? prefix : ''}${character}${i === characters.length - 1 ? suffix : ''}`;
      const id = ids.get(spelled);
      const bytes = id === undefined && settings.byte_fallback ? byteIds(spelled, ids) : undefined;
      if (id !== undefined) {
        end();
        result.push(id);
      } else if (bytes) result.push(...bytes);
      else if (unknown) {
        if (!fuse_unk) end();
        isPending = true;
      }
    }
    end();
    return result;
  };

  return {
    ids,
    words: isWordwise(settings) ? (piece) => piece.match(WORDS) ?? [] : undefined,
    encode(piece) {
      const whole = settings.ignore_merges ? ids.get(piece) : undefined;
      return whole === undefined ? table.apply(symbols(piece)) : [whole];
    },
  };
}
