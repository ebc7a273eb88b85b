// Scenes rendered to pixels: SVG at four times the size, reduced with Lanczos. Several images share a sheet, because
// starting the renderer costs more than an image; the sheet does not change an image.

import sharp from 'sharp';
import { RandomStream } from '../../util/random.ts';
import { backgroundSvg, css } from './background.ts';
import { GEOMETRY } from './geometry.ts';
import { CANVAS, layoutScene, type Placement } from './layout.ts';
import type { Scene, SceneObject } from './scene.ts';
import { COLOURS, type RgbColour } from './vocabulary.ts';

const OVERSAMPLING = 4;
const OVERSCAN = 3; // pixels around each image of a sheet: the radius of the Lanczos kernel
const TINT = 0.4; // share of white in the lighter stripes of a striped object
const STRIPE_PERIOD = 4; // on the canvas: a cell of the demo's code grid
const OUTLINE = 0.16; // in radii; keeps the shape of a striped object visible

function lighter(colour: RgbColour): RgbColour {
  return colour.map((level) => level + TINT * (255 - level)) as unknown as RgbColour;
}

/** Stripes of the same width in all objects, in units of the radius; one starts at the centre. */
function stripePattern(id: string, colour: RgbColour, radius: number, angle: number): string {
  const period = STRIPE_PERIOD / radius;
  return (
    `<pattern id="${id}" width="${period.toFixed(3)}" height="1" patternUnits="userSpaceOnUse" patternTransform="rotate(${angle})">` +
    `<path d="M0 0h${period.toFixed(3)}v1H0z" fill="${css(colour)}"/>` +
    `<path d="M0 0h${(period / 2).toFixed(3)}v1H0z" fill="${css(lighter(colour))}"/></pattern>`
  );
}

function objectSvg(
  object: SceneObject,
  { x, y, radius }: Placement,
  id: string,
  random: RandomStream,
): string {
  const colour = css(COLOURS[object.colour]);
  const { path } = GEOMETRY[object.shape];
  const at = (scale: number): string =>
    `transform="translate(${x.toFixed(3)} ${y.toFixed(3)}) scale(${scale.toFixed(3)})"`;
  if (!object.striped) return `<path d="${path}" fill-rule="evenodd" fill="${colour}" ${at(radius)}/>`;
  const pattern = stripePattern(id, COLOURS[object.colour], radius, random.choice([0, 90]));
  return (
    `${pattern}<path d="${path}" fill-rule="evenodd" fill="url(#${id})" stroke="${colour}" stroke-width="${OUTLINE}" ` +
    `${at(radius / (1 + OUTLINE / 2))}/>`
  );
}

function sceneSvg(scene: Scene, id: string, random: RandomStream): string {
  const background = backgroundSvg(`${id}b`, random);
  const placements = layoutScene(scene, random);
  const objects = scene.objects.map((object, i) => objectSvg(object, placements[i]!, `${id}o${i}`, random));
  return background + objects.join('');
}

/** A scene to render; `key` seeds everything that the scene leaves open. */
export interface RenderRequest {
  readonly scene: Scene;
  readonly key: readonly (string | number)[];
}

/** Pixels on a side that librsvg renders at most. */
const MAX_SVG_SIDE = 32_767;

/** Renders each scene to RGB, size × size × 3. */
export async function renderScenes(requests: readonly RenderRequest[], size: number): Promise<Uint8Array[]> {
  const perSheet = Math.floor(MAX_SVG_SIDE / (OVERSAMPLING * (size + 2 * OVERSCAN)));
  const images: Uint8Array[] = [];
  for (let start = 0; start < requests.length; start += perSheet)
    images.push(...(await renderSheet(requests.slice(start, start + perSheet), size)));
  return images;
}

async function renderSheet(requests: readonly RenderRequest[], size: number): Promise<Uint8Array[]> {
  const tile = size + 2 * OVERSCAN;
  const over = (OVERSCAN * CANVAS) / size;
  const side = CANVAS + 2 * over;
  const tiles = requests.map(({ scene, key }, i) => {
    const inside = sceneSvg(scene, `t${i}`, new RandomStream('drawing', ...key));
    return `<svg y="${i * tile}" width="${tile}" height="${tile}" viewBox="${-over} ${-over} ${side} ${side}">${inside}</svg>`;
  });
  const height = tile * requests.length;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${OVERSAMPLING * tile}" height="${OVERSAMPLING * height}" ` +
    `viewBox="0 0 ${tile} ${height}">${tiles.join('')}</svg>`;
  const large = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  // A second pipeline: in a single one, sharp would render the SVG at the small size and not reduce it.
  const sheet = await sharp(large.data, { raw: large.info })
    .resize(tile, height, { kernel: 'lanczos3' })
    .extract({ left: OVERSCAN, top: 0, width: size, height })
    .raw()
    .toBuffer();
  return requests.map((_, i) => {
    const start = (i * tile + OVERSCAN) * size * 3;
    return Uint8Array.from(sheet.subarray(start, start + size * size * 3));
  });
}
