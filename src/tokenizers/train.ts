// Training of a byte-pair encoding (arXiv 1508.07909): the most frequent pair of adjacent symbols is merged,
// repeatedly. Pairs are counted once; a merge then updates the counts of the words it changes, and a priority queue
// gives the next pair. The result depends only on the count of each word; ties go to the lower ids, as in Hugging Face's
// trainer.

import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../util/errors.ts';
import { type Progress, SILENT } from '../util/progress.ts';
import { ALPHABET, BYTE_CHARACTERS } from './alphabet.ts';
import { BpeTokenizer } from './bpe.ts';
import type { Merge } from './merges.ts';
import { PairCounts } from './pair-counts.ts';
import { normalizeText, words } from './text.ts';

export interface TrainOptions {
  /** Largest number of ids, the 256 bytes included; little text may have fewer pairs to merge. */
  readonly vocabulary: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
  /** Bound on distinct words; beyond it, the rarest are dropped. */
  readonly wordLimit?: number;
}

/** Least count of a pair to merge. */
const MIN_COUNT = 2;
const MAX_WORDS = 2 ** 22;
const YIELD_EVERY_MS = 50;

/** Lets the event loop run every 50 ms, so that an abort signal arrives. */
class EventLoopYielder {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  async yield(): Promise<void> {
    if (performance.now() - this.#last < YIELD_EVERY_MS) return;
    await setImmediate();
    this.#last = performance.now();
    if (this.#signal?.aborted)
      throw new InterruptedError('stopped; no tokenizer was written', { code: 'E_INTERRUPTED' });
  }
}

/** Drops the rarest words until half the limit is left. */
function dropRarest(counts: Map<string, number>, limit: number): void {
  for (let rarest = 1; counts.size > limit / 2; rarest++) {
    for (const [word, count] of counts) if (count <= rarest) counts.delete(word);
  }
}

/** Counts the words. */
async function countWords(
  captions: Iterable<string> | AsyncIterable<string>,
  limit: number,
  yielder: EventLoopYielder,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const caption of captions) {
    for (const word of words(normalizeText(caption))) counts.set(word, (counts.get(word) ?? 0) + 1);
    if (counts.size > limit) dropRarest(counts, limit);
    await yielder.yield();
  }
  return counts;
}

/**
 * Trains a tokenizer on captions.
 * @throws InterruptedError when the signal is aborted; RangeError for a vocabulary below the 256 bytes
 */
export async function trainBpe(
  captions: Iterable<string> | AsyncIterable<string>,
  { vocabulary, progress = SILENT, signal, wordLimit = MAX_WORDS }: TrainOptions,
): Promise<BpeTokenizer> {
  if (!(vocabulary >= ALPHABET.length)) throw new RangeError(`a vocabulary of ${vocabulary}; at least 256`);
  const yielder = new EventLoopYielder(signal);
  const counts = await countWords(captions, wordLimit, yielder);
  const tokens = [...ALPHABET];
  const known = new Set(tokens);
  const byteIds = BYTE_CHARACTERS.map((character) => ALPHABET.indexOf(character));
  const pairs = new PairCounts();
  for (const [word, count] of counts) {
    pairs.add(
      Array.from(Buffer.from(word, 'utf8'), (byte) => byteIds[byte] as number),
      count,
    );
    await yielder.yield();
  }

  const merges: Merge[] = [];
  progress.start('merges', vocabulary - ALPHABET.length);
  while (tokens.length < vocabulary) {
    const pair = pairs.mostFrequent();
    if (pair === undefined || pair.count < MIN_COUNT) break;
    const token = `${tokens[pair.left]}${tokens[pair.right]}`;
    // Two merges to one token would make its id ambiguous: the first is kept.
    if (known.has(token)) continue;
    const result = tokens.length;
    known.add(token);
    tokens.push(token);
    merges.push({ left: pair.left, right: pair.right, result });
    pairs.merge(pair, result);
    progress.update(merges.length);
    await yielder.yield();
  }
  progress.stop();
  return new BpeTokenizer({ tokens, merges });
}
