// Enlarged images: sharp would move them by up to half a pixel, so they are computed as Pillow does.

import { type Taps, tapsOf } from '../util/resample.ts';

export type Interpolation = 'bicubic' | 'bilinear';

/** The sides of an image before and after, and the part of the result that is computed. */
export interface Enlargement {
  readonly from: { readonly width: number; readonly height: number };
  readonly to: { readonly width: number; readonly height: number };
  readonly part: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
}

const CHANNELS = 3;

/** One pass along an axis: `lines` lines of `taps.length` outputs, rounded to levels as Pillow does between passes. */
function pass(
  pixels: Uint8Array,
  taps: readonly Taps[],
  lines: number,
  strides: { readonly line: number; readonly step: number },
  out: { readonly line: number; readonly step: number },
): Uint8Array {
  const result = new Uint8Array(lines * taps.length * CHANNELS);
  for (let line = 0; line < lines; line++)
    for (const [i, { first, weights }] of taps.entries())
      for (let channel = 0; channel < CHANNELS; channel++) {
        let sum = 0;
        for (const [k, weight] of weights.entries())
          sum += weight * (pixels[line * strides.line + (first + k) * strides.step + channel] as number);
        result[line * out.line + i * out.step + channel] = Math.min(255, Math.max(0, Math.round(sum)));
      }
  return result;
}

/** RGB pixels, enlarged; the columns first. */
export function enlarge(
  pixels: Uint8Array,
  { from, to, part }: Enlargement,
  interpolation: Interpolation,
): Uint8Array {
  const taps = (start: number, count: number, before: number, after: number): Taps[] =>
    Array.from({ length: count }, (_, i) => tapsOf(start + i, before, after, interpolation));
  const [row, partRow] = [from.width * CHANNELS, part.width * CHANNELS];
  const along = taps(part.left, part.width, from.width, to.width);
  const wide = pass(
    pixels,
    along,
    from.height,
    { line: row, step: CHANNELS },
    { line: partRow, step: CHANNELS },
  );
  const down = taps(part.top, part.height, from.height, to.height);
  return pass(wide, down, part.width, { line: CHANNELS, step: partRow }, { line: CHANNELS, step: partRow });
}
