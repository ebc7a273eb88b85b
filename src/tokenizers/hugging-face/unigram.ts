// The unigram model (Kudo 2018, arXiv 1804.10959): the most likely cut of a piece, found by Viterbi's algorithm, with
// the ties, the penalty of unknown characters and their joining of Hugging Face's tokenizers (Rust). Its sums are of
// 64 bits, and those of SentencePiece of 32, which decides ties otherwise.

import { byteIds, type Fail, type Model } from './model.ts';

/** How much less likely an unknown character is than the least likely token, in nats. */
const UNKNOWN_PENALTY = 10;

interface Settings {
  readonly unk_id?: number | null | undefined;
  readonly byte_fallback: boolean;
  /** Whether sums are rounded as SentencePiece does. */
  readonly float32: boolean;
  readonly vocab: readonly (readonly [token: string, score: number])[];
}

export function unigram({ unk_id, byte_fallback, float32, vocab }: Settings, fail: Fail): Model {
  const ids = new Map(vocab.map(([token], id) => [token, id]));
  const unknown = unk_id ?? undefined;
  if (unknown !== undefined && unknown >= vocab.length)
    fail(`unk_id is ${unknown}, of ${vocab.length} tokens`);
  const rounded = float32 ? Math.fround : (sum: number): number => sum;
  const scores = Float64Array.from(vocab, ([, score]) => score);
  const least = scores.reduce((least, score) => Math.min(least, score), Infinity);
  const unknownScore = rounded(least - UNKNOWN_PENALTY);
  /** Length of the longest token by its first UTF-16 unit. */
  const longest = new Map<number, number>();
  for (const token of ids.keys()) {
    const first = token.charCodeAt(0);
    longest.set(first, Math.max(longest.get(first) ?? 0, token.length));
  }

  /** Start of the best last token of each prefix, and whether it is unknown. */
  const bestCut = (piece: string): { starts: Int32Array; isUnknown: Uint8Array } => {
    const size = piece.length;
    const starts = new Int32Array(size + 1).fill(-1);
    const isUnknown = new Uint8Array(size + 1);
    const best = new Float64Array(size + 1);
    const offer = (start: number, end: number, score: number, unknown: number): void => {
      const total = rounded(score + (best[start] as number));
      if ((starts[end] as number) >= 0 && total <= (best[end] as number)) return;
      best[end] = total;
      starts[end] = start;
      isUnknown[end] = unknown;
    };
    for (let start = 0; start < size; ) {
      const width = (piece.codePointAt(start) as number) > 0xffff ? 2 : 1;
      const most = Math.min(size, start + (longest.get(piece.charCodeAt(start)) ?? 0));
      let hasSingle = false;
      for (let end = start + width; end <= most; end++) {
        const id = ids.get(piece.slice(start, end));
        if (id === undefined) continue;
        offer(start, end, scores[id] as number, id === unknown ? 1 : 0);
        hasSingle ||= end === start + width;
      }
      if (!hasSingle) offer(start, start + width, unknownScore, 1);
      start += width;
    }
    return { starts, isUnknown };
  };

  return {
    ids,
    encode(piece) {
      const { starts, isUnknown } = bestCut(piece);
      const tokens: string[] = [];
      for (let end = piece.length, isJoined = false; end > 0; ) {
        const start = starts[end] as number;
        const token = piece.slice(start, end);
        if (isUnknown[end] && isJoined) tokens.push(token + tokens.pop());
        else tokens.push(token);
        isJoined = isUnknown[end] === 1;
        end = start;
      }
      return tokens.reverse().flatMap((token) => {
        const id = ids.get(token);
        if (id !== undefined) return [id];
        const bytes = byte_fallback ? byteIds(token, ids) : undefined;
        return bytes ?? [unknown ?? fail(`it has no token for unknown characters, such as "${token}"`)];
      });
    },
  };
}
