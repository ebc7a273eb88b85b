// Training a byte-pair encoding (arXiv 1508.07909): merge the most frequent pair of neighbours, again and again.
// Pairs are counted once; a merge then updates the counts of the words it changes, and a queue gives the next pair.
// The result depends only on how often each word occurs, and ties go to the lower ids, as in Hugging Face's trainer.

import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../util/errors.ts';
import { type Progress, SILENT } from '../util/progress.ts';
import { ALPHABET, BYTE_CHARACTERS } from './alphabet.ts';
import { BpeTokenizer } from './bpe.ts';
import type { Merge } from './merges.ts';
import { PairCounts } from './pair-counts.ts';
import { normalizeText, words } from './text.ts';

export interface TrainOptions {
  /** Ids wanted, the 256 bytes included; little text may not have as many pairs to merge. */
  readonly vocabulary: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
  /** Distinct words held at a time; past it, the rarest are forgotten. */
  readonly wordLimit?: number;
}

/** A pair that occurs once is chance, not a habit of the language. */
const MIN_COUNT = 2;
const WORD_LIMIT = 2 ** 22;

/** Lets the event loop run now and then, so that Ctrl-C is heard. */
class EventLoopYielder {
  readonly #signal: AbortSignal | undefined;
  #last = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  async take(): Promise<void> {
    if (performance.now() - this.#last < 50) return;
    await setImmediate();
    this.#last = performance.now();
    if (this.#signal?.aborted)
      throw new InterruptedError('stopped; no tokenizer was written', { code: 'E_INTERRUPTED' });
  }
}

/** Forgets the rarest words until half the limit is left. */
function forgetRarest(counts: Map<string, number>, limit: number): void {
  for (let rare = 1; counts.size > limit / 2; rare++) {
    for (const [word, count] of counts) if (count <= rare) counts.delete(word);
  }
}

/** How often each word occurs. */
async function countWords(
  captions: Iterable<string> | AsyncIterable<string>,
  limit: number,
  breath: EventLoopYielder,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for await (const caption of captions) {
    for (const word of words(normalizeText(caption))) counts.set(word, (counts.get(word) ?? 0) + 1);
    if (counts.size > limit) forgetRarest(counts, limit);
    await breath.take();
  }
  return counts;
}

/**
 * Trains a tokenizer on captions.
 * @throws InterruptedError when the signal asks to stop; RangeError for a vocabulary below the 256 bytes
 */
export async function trainBpe(
  captions: Iterable<string> | AsyncIterable<string>,
  { vocabulary, progress = SILENT, signal, wordLimit = WORD_LIMIT }: TrainOptions,
): Promise<BpeTokenizer> {
  if (!(vocabulary >= ALPHABET.length)) throw new RangeError(`a vocabulary of ${vocabulary}; at least 256`);
  const breath = new EventLoopYielder(signal);
  const counts = await countWords(captions, wordLimit, breath);
  const tokens = [...ALPHABET];
  const known = new Set(tokens);
  const byteIds = BYTE_CHARACTERS.map((character) => ALPHABET.indexOf(character));
  const pairs = new PairCounts();
  for (const [word, count] of counts) {
    pairs.add(
      Array.from(Buffer.from(word, 'utf8'), (byte) => byteIds[byte] as number),
      count,
    );
    await breath.take();
  }

  const merges: Merge[] = [];
  progress.start('merges', vocabulary - ALPHABET.length);
  while (tokens.length < vocabulary) {
    const pair = pairs.mostFrequent();
    if (pair === undefined || pair.count < MIN_COUNT) break;
    const token = `${tokens[pair.left]}${tokens[pair.right]}`;
    // Two ways to one token would make its id ambiguous; the first stays.
    if (known.has(token)) continue;
    const result = tokens.length;
    known.add(token);
    tokens.push(token);
    merges.push({ left: pair.left, right: pair.right, result });
    pairs.merge(pair, result);
    progress.update(merges.length);
    await breath.take();
  }
  progress.stop();
  return new BpeTokenizer({ tokens, merges });
}
