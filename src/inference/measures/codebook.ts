// The health of a codebook: how much of it is in use, and words for a collapse.

export interface CodebookUse {
  /** Codes that occur. */
  readonly used: number;
  /** Codes that do not. */
  readonly dead: number;
  /** exp of the entropy of the codes' frequencies: codes in use if all were used equally. */
  readonly perplexity: number;
  /** Codes looked at. */
  readonly positions: number;
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
  return { used, dead: vocabulary - used, perplexity: Math.exp(entropy), positions: total };
}

/** What is reported of a codebook's use, under these names everywhere. */
export const codebookMetrics = ({ used, dead, perplexity }: CodebookUse, vocabulary: number) => ({
  codesUsed: used,
  codebookUse: used / vocabulary,
  deadCodes: dead,
  perplexity,
});

/** Different codes among `positions` that are drawn evenly: what so few images can show of a healthy codebook. */
const expectedCodes = (vocabulary: number, positions: number): number =>
  vocabulary * (1 - (1 - 1 / vocabulary) ** positions);

/**
 * A sentence that names the collapse of a codebook, or undefined while its perplexity is at least `share` of what an
 * evenly used codebook would have on as many positions.
 */
export function describeCollapse(
  { used, perplexity, positions }: CodebookUse,
  vocabulary: number,
  share: number,
): string | undefined {
  const even = expectedCodes(vocabulary, positions);
  if (perplexity >= share * even) return undefined;
  const percent = ((100 * perplexity) / even).toPrecision(2);
  return `the codebook is collapsing: ${used} of ${vocabulary} codes are in use, and their perplexity of ${perplexity.toFixed(1)} is ${percent} % of an even use, below ${100 * share} %`;
}

/** What to try against it. */
export const COLLAPSE_ADVICE =
  'try train.warmStart (begins with every code in use), train.codebook.revive (gives dead codes new places), a lower train.kl.weight, a longer train.kl.steps, a lower train.temperature.start, or a lower train.optimizer.learningRate.peak';
