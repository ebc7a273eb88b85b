// Codebook health: how many codes are in use, and a warning when the codebook collapses.

export interface CodebookUse {
  /** Distinct codes that occur. */
  readonly used: number;
  /** Codes that do not occur. */
  readonly dead: number;
  /** exp(entropy of the code frequencies): the number of codes, if all were used equally often. */
  readonly perplexity: number;
  /** Number of codes counted. */
  readonly positions: number;
}

export function codebookUse(batches: readonly ArrayLike<number>[], vocabulary: number): CodebookUse {
  const counts = new Float64Array(vocabulary);
  for (const codes of batches) for (let i = 0; i < codes.length; i++) counts[codes[i] as number]! += 1;
  return countedUse(counts);
}

/** @param counts how often each code of the vocabulary occurs */
export function countedUse(counts: Float64Array): CodebookUse {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let used = 0;
  let entropy = 0;
  for (const count of counts) {
    if (count === 0) continue;
    used += 1;
    entropy -= (count / total) * Math.log(count / total);
  }
  return { used, dead: counts.length - used, perplexity: Math.exp(entropy), positions: total };
}

/** The metrics of codebook use, under their names in reports and files. */
export const codebookMetrics = ({ used, dead, perplexity }: CodebookUse, vocabulary: number) => ({
  codesUsed: used,
  codebookUse: used / vocabulary,
  deadCodes: dead,
  perplexity,
});

/** Expected number of distinct codes among `positions` sampled uniformly: the most that so few images can show. */
const expectedCodes = (vocabulary: number, positions: number): number =>
  vocabulary * (1 - (1 - 1 / vocabulary) ** positions);

/**
 * A warning about a collapsing codebook; undefined while the perplexity is at least `share` of the one that uniform use
 * would have on as many positions.
 */
export function describeCollapse(
  { used, perplexity, positions }: CodebookUse,
  vocabulary: number,
  share: number,
): string | undefined {
  const even = expectedCodes(vocabulary, positions);
  if (perplexity >= share * even) return undefined;
  const percent = ((100 * perplexity) / even).toPrecision(2);
  return `the codebook is collapsing: ${used} of ${vocabulary} codes are in use, and their perplexity of ${perplexity.toFixed(1)} is ${percent} % of uniform use, below ${100 * share} %`;
}

/** Advice against a collapse. */
export const COLLAPSE_ADVICE =
  'try train.warmStart (starts with every code in use), train.codebook.revive (restarts dead codes), a lower train.kl.weight, a longer train.kl.steps, a lower train.temperature.start, or a lower train.optimizer.learningRate.peak';
