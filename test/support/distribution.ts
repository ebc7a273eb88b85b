// What the filtered softmax says, and how far counts may be from it.

import assert from 'node:assert/strict';

function softmax(values: readonly number[]): number[] {
  const exponentials = values.map((value) => Math.exp(value - Math.max(...values)));
  const total = exponentials.reduce((a, b) => a + b);
  return exponentials.map((e) => e / total);
}

/** The probabilities of the tokens kept, of all others 0. */
export function filtered(values: readonly number[], topK?: number, topP?: number): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]!);
  let kept = order.slice(0, topK);
  if (topP !== undefined) {
    const probabilities = softmax(kept.map((i) => values[i]!));
    let mass = 0;
    kept = kept.filter((_, rank) => {
      const isNeeded = mass < topP;
      mass += probabilities[rank]!;
      return isNeeded;
    });
  }
  return softmax(values.map((value, i) => (kept.includes(i) ? value : Number.NEGATIVE_INFINITY)));
}

/** Σ (observed − expected)² / expected over the tokens that can occur, and how many of them can. */
export function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
): { value: number; cells: number } {
  const total = counts.reduce((a, b) => a + b);
  let value = 0;
  let cells = 0;
  // Cells with few expected samples are merged, or the statistic is not chi-square distributed.
  let rest = { observed: 0, expected: 0 };
  const add = (observed: number, expected: number): void => {
    value += (observed - expected) ** 2 / expected;
    cells += 1;
  };
  for (const [token, probability] of probabilities.entries()) {
    const expected = probability * total;
    if (probability === 0) assert.equal(counts[token], 0, `token ${token} cannot be sampled`);
    else if (expected >= 5) add(counts[token]!, expected);
    else rest = { observed: rest.observed + counts[token]!, expected: rest.expected + expected };
  }
  if (rest.expected > 0.5) add(rest.observed, rest.expected);
  return { value, cells };
}

/** The 99.9 % quantile of the chi-square distribution, by Wilson and Hilferty's approximation. */
export const bound = (freedom: number): number =>
  freedom * (1 - 2 / (9 * freedom) + 3.09 * Math.sqrt(2 / (9 * freedom))) ** 3;
