// Scenes as pixels. SVG drawn at four times the size and reduced with Lanczos, several images to a sheet
// because starting the renderer costs more than an image; each image is the same in any sheet.

import sharp from 'sharp';
import { RandomStream } from '../../util/random.ts';
import { backgroundSvg, css } from './background.ts';
import { GEOMETRY } from './geometry.ts';
import { CANVAS, layoutScene, type Placement } from './layout.ts';
import type { Scene, SceneObject } from './scene.ts';
import { COLOURS, type RgbColour } from './vocabulary.ts';

const OVERSAMPLING = 4;
const OVERSCAN = 3; // pixels around each image of a sheet: the reach of the Lanczos kernel
const TINT = 0.4; // of white in the lighter stripes of a striped object
const STRIPES = 4; // from one to the next on the canvas: a cell of the demo's code grid
const OUTLINE = 0.16; // radii; keeps the shape of a striped object plain

function lighter(colour: RgbColour): RgbColour {
  return colour.map((level) => level + TINT * (255 - level)) as unknown as RgbColour;
}

/** Stripes of one width whatever the object's, in the units of its radius; the centre is where one begins. */
function stripePattern(id: string, colour: RgbColour, radius: number, angle: number): string {
  const period = STRIPES / radius;
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

/** A scene to draw; `key` and nothing else decides about all that the scene leaves open. */
export interface RenderRequest {
  readonly scene: Scene;
  readonly key: readonly (string | number)[];
}

/** Pixels that librsvg draws in one direction at most. */
const MAX_SVG_SIDE = 32_767;

/** Draws scenes as `size` × `size` RGB images, rows first. */
export async function renderScenes(drawings: readonly RenderRequest[], size: number): Promise<Uint8Array[]> {
  const most = Math.floor(MAX_SVG_SIDE / (OVERSAMPLING * (size + 2 * OVERSCAN)));
  const images: Uint8Array[] = [];
  for (let start = 0; start < drawings.length; start += most)
    images.push(...(await renderSheet(drawings.slice(start, start + most), size)));
  return images;
}

async function renderSheet(drawings: readonly RenderRequest[], size: number): Promise<Uint8Array[]> {
  const tile = size + 2 * OVERSCAN;
  const over = (OVERSCAN * CANVAS) / size;
  const side = CANVAS + 2 * over;
  const tiles = drawings.map(({ scene, key }, i) => {
    const inside = sceneSvg(scene, `t${i}`, new RandomStream('drawing', ...key));
    return `<svg y="${i * tile}" width="${tile}" height="${tile}" viewBox="${-over} ${-over} ${side} ${side}">${inside}</svg>`;
  });
  const height = tile * drawings.length;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${OVERSAMPLING * tile}" height="${OVERSAMPLING * height}" ` +
    `viewBox="0 0 ${tile} ${height}">${tiles.join('')}</svg>`;
  const large = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  // A pipeline of its own: in one, sharp would render the SVG at the small size and not reduce at all.
  const sheet = await sharp(large.data, { raw: large.info })
    .resize(tile, height, { kernel: 'lanczos3' })
    .extract({ left: OVERSCAN, top: 0, width: size, height })
    .raw()
    .toBuffer();
  return drawings.map((_, i) => {
    const start = (i * tile + OVERSCAN) * size * 3;
    return Uint8Array.from(sheet.subarray(start, start + size * size * 3));
  });
}
