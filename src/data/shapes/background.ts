// Backgrounds: paper white, some with a faint texture that captions do not mention.

import type { RandomStream } from '../../util/random.ts';
import { CANVAS } from './layout.ts';
import type { RgbColour } from './vocabulary.ts';

const TINT: RgbColour = [250, 248, 244];
const TEXTURED_SHARE = 0.05;
const CONTRAST = 7; // levels between the texture and the tint of a background
const OVERSCAN = CANVAS; // textures extend beyond the canvas, so that its edge does not show in them

export function css([red, green, blue]: RgbColour): string {
  return `rgb(${Math.round(red)},${Math.round(green)},${Math.round(blue)})`;
}

function darker([red, green, blue]: RgbColour, levels: number): RgbColour {
  return [red - levels, green - levels, blue - levels];
}

const FULL = `x="${-OVERSCAN}" y="${-OVERSCAN}" width="${CANVAS + 2 * OVERSCAN}" height="${CANVAS + 2 * OVERSCAN}"`;

function gradient(tint: RgbColour, id: string, random: RandomStream): string {
  const angle = random.integer(360);
  return (
    `<linearGradient id="${id}" gradientTransform="rotate(${angle} .5 .5)"><stop stop-color="${css(tint)}"/>` +
    `<stop offset="1" stop-color="${css(darker(tint, 2 * CONTRAST))}"/></linearGradient><rect ${FULL} fill="url(#${id})"/>`
  );
}

function stripes(tint: RgbColour, id: string, random: RandomStream): string {
  const period = random.uniform(3, 6).toFixed(2);
  const angle = random.choice([0, 45, 90, 135]);
  return (
    `<pattern id="${id}" width="${period}" height="${period}" patternUnits="userSpaceOnUse" patternTransform="rotate(${angle})">` +
    `<path d="M0 0h${period}" stroke="${css(darker(tint, CONTRAST))}" stroke-width="${period}"/></pattern>` +
    `<rect ${FULL} fill="url(#${id})"/>`
  );
}

function speckle(tint: RgbColour, random: RandomStream): string {
  const dots = Array.from({ length: 24 }, () => {
    const [x, y, radius] = [random.uniform(0, CANVAS), random.uniform(0, CANVAS), random.uniform(0.3, 0.7)];
    return `M${(x - radius).toFixed(2)} ${y.toFixed(2)}h${(2 * radius).toFixed(2)}`;
  });
  return `<path d="${dots.join('')}" stroke="${css(darker(tint, 2 * CONTRAST))}" stroke-width="1"/>`;
}

/** The SVG of a background; `id` must be unique in the document. */
export function backgroundSvg(id: string, random: RandomStream): string {
  const plain = `<rect ${FULL} fill="${css(TINT)}"/>`;
  if (random.uniform() >= TEXTURED_SHARE) return plain;
  switch (random.integer(3)) {
    case 0:
      return gradient(TINT, id, random);
    case 1:
      return plain + speckle(TINT, random);
    default:
      return plain + stripes(TINT, id, random);
  }
}
