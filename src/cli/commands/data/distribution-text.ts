// Distributions in words.

import type { Bin, Range } from '../../../data/check/distribution.ts';

export function rangeText(range: Range | undefined): string {
  return range ? `${range.min} to ${range.max}, median ${range.median}` : '–';
}

export const binsText = (bins: readonly Bin[]): string =>
  bins
    .filter(({ count }) => count > 0)
    .map(({ range, count }) => `${range}: ${count}`)
    .join('; ');
