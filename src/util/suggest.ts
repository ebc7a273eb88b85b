// Suggestions for mistyped names: "Did you mean …?".

/** Levenshtein distance with transpositions of adjacent letters (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(previous[j]! + 1, row[j - 1]! + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j]!, older[j - 2]! + 1);
      }
    }
    older = previous;
    previous = row;
  }
  return previous[b.length]!;
}

/** Ignores case and word separators: `learning_rate` equals `learningRate`. */
const normalized = (name: string): string => name.toLowerCase().replace(/[-_ ]/g, '');

/** The closest known name within an edit distance of a third of its letters (at least 1), or undefined. */
export function closest(name: string, known: Iterable<string>): string | undefined {
  // Longer input is not a typo, and the distance takes quadratic time.
  if (name.length > 100) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(normalized(name), normalized(candidate));
    const allowed = Math.max(1, Math.floor(candidate.length / 3));
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
