// How much of a codebook is in use.

export interface CodebookUse {
  /** Codes that occur. */
  readonly used: number;
  /** exp of the entropy of the codes' frequencies: codes in use if all were used equally. */
  readonly perplexity: number;
}

export function codebookUse(batches: readonly ArrayLike<number>[], vocabulary: number): CodebookUse {
  const counts = new Float64Array(vocabulary);
  let total = 0;
  for (const codes of batches) {
    for (let i = 0; i < codes.length; i++) counts[codes[i] as number]! += 1;
    total += codes.length;
  }
  let used = 0;
  let entropy = 0;
  for (const count of counts) {
    if (count === 0) continue;
    used += 1;
    entropy -= (count / total) * Math.log(count / total);
  }
  return { used, perplexity: Math.exp(entropy) };
}
