// Curves as a PNG, for the docs: panels beside each other over one axis of seconds.

import sharp from 'sharp';
import { textSvg } from '../../src/report/images/text.ts';

export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

export interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly logarithmic: boolean;
}

const [WIDTH, HEIGHT, MARGIN, LEGEND] = [460, 300, 48, 20];
const COLOURS = ['#1a6fb5', '#c2410c', '#15803d', '#7c3aed', '#525252'];
const INK = '#222222';

export async function curvesPng(panels: readonly Panel[]): Promise<Buffer> {
  const names = panels[0]?.curves.map(({ name }) => name) ?? [];
  const height = HEIGHT + LEGEND * names.length + 16;
  const legend = names.map(
    (name, i) =>
      `<rect x="${MARGIN}" y="${HEIGHT + LEGEND * i + 4}" width="18" height="4" fill="${COLOURS[i % COLOURS.length]}"/>` +
      textSvg(name, {
        x: MARGIN + 26,
        baseline: HEIGHT + LEGEND * i + 11,
        size: 12,
        color: INK,
        anchor: 'start',
      }),
  );
  const drawn = panels.map((panel, i) => `<g transform="translate(${i * WIDTH},0)">${panelSvg(panel)}</g>`);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH * panels.length}" height="${height}"><rect width="100%" height="100%" fill="#ffffff"/>${drawn.join('')}${legend.join('')}</svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

function panelSvg({ title, curves, logarithmic }: Panel): string {
  const scale = (value: number): number => (logarithmic ? Math.log10(value) : value);
  const all = curves.flatMap(({ points }) => points);
  const most = Math.max(...all.map(([seconds]) => seconds));
  const values = all.map(([, value]) => scale(value));
  const [low, high] = [logarithmic ? Math.min(...values) : 0, Math.max(...values)];
  const x = (seconds: number): number => MARGIN + (seconds / most) * (WIDTH - 2 * MARGIN);
  const y = (value: number): number =>
    HEIGHT - MARGIN - ((scale(value) - low) / (high - low || 1)) * (HEIGHT - 2 * MARGIN);
  const lines = curves.map(
    ({ points }, i) =>
      `<polyline fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="2" points="${points
        .map(([seconds, value]) => `${x(seconds).toFixed(1)},${y(value).toFixed(1)}`)
        .join(' ')}"/>`,
  );
  const ends = [low, high].map((end) => (logarithmic ? 10 ** end : end));
  const marks = ends.map((value) =>
    textSvg(value.toPrecision(2), { x: MARGIN / 2 - 2, baseline: y(value) + 4, size: 11, color: INK }),
  );
  const axes = `<path d="M${MARGIN} ${MARGIN}V${HEIGHT - MARGIN}H${WIDTH - MARGIN}" fill="none" stroke="#888888"/>`;
  return [
    axes,
    ...lines,
    ...marks,
    textSvg(title, { x: WIDTH / 2, baseline: MARGIN - 14, size: 13, color: INK }),
    textSvg(`${most.toFixed(0)} s`, {
      x: WIDTH - MARGIN,
      baseline: HEIGHT - MARGIN + 16,
      size: 11,
      color: INK,
    }),
  ].join('');
}
