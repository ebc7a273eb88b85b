// The palette colour of a pixel that is blended with the background, and its share.

import { COLOUR_NAMES, COLOURS, type Colour, type RgbColour } from '../vocabulary.ts';

export function difference(a: RgbColour, b: RgbColour): RgbColour {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function dot(a: RgbColour, b: RgbColour): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** Lightness (weighted twice) and the two colour differences: edges are sharpest in lightness, above all in JPEG. */
function lightnessFirst([red, green, blue]: RgbColour): RgbColour {
  const lightness = 0.299 * red + 0.587 * green + 0.114 * blue;
  return [2 * lightness, 0.564 * (blue - lightness), 0.713 * (red - lightness)];
}

export interface Match {
  readonly colour: Colour;
  /** Cosine of the angle between the directions from the background to the pixel and to the colour. */
  readonly cosine: number;
}

/** The palette colour whose blends with the background are closest to `background − away`. */
export function nearestColour(away: RgbColour, background: RgbColour): Match {
  const length = Math.sqrt(dot(away, away)) || 1;
  let best: Match = { colour: 'black', cosine: -1 };
  for (const colour of COLOUR_NAMES) {
    const full = difference(background, COLOURS[colour]);
    const cosine = dot(away, full) / (length * Math.sqrt(dot(full, full)));
    if (cosine > best.cosine) best = { colour, cosine };
  }
  return best;
}

/** Share of `colour` in `background − away`, 0 … 1; the rest is background. */
export function shareOf(colour: Colour, away: RgbColour, background: RgbColour): number {
  const full = lightnessFirst(difference(background, COLOURS[colour]));
  return Math.min(1, Math.max(0, dot(lightnessFirst(away), full) / dot(full, full)));
}
