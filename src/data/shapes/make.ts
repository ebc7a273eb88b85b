// `mm data make-shapes`: a folder of captioned shape images, the same bit for bit for the same seed.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import sharp from 'sharp';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError, InterruptedError, UsageError } from '../../util/errors.ts';
import { writeFolderAtomic } from '../../util/files.ts';
import { type Progress, SILENT } from '../../util/progress.ts';
import { RandomStream } from '../../util/random.ts';
import { captionOf } from './caption.ts';
import { HELD_OUT_PAIRINGS, HELD_OUT_PAIRS, heldOutDescription } from './heldout.ts';
import { randomScene } from './random-scene.ts';
import { renderScenes } from './render.ts';

/** Changes whenever the same seed would draw something else. */
export const SHAPES_VERSION = 5;

const SHEETS_AT_ONCE = 3; // sharp's own threads do the work
const SHEET = 8; // images in a sheet of 32 pixels; fewer when they are larger
const OWN_FILES = ['about.json', 'heldout.json', 'images'];

export interface MakeShapesOptions {
  readonly out: string;
  readonly count: number;
  /** Pixels on a side. */
  readonly size: number;
  readonly seed: number;
  /** Replace a folder that something else made. */
  readonly force?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** What `about.json` says, and the command's result. */
export interface ShapesAbout {
  readonly madeBy: 'mm data make-shapes';
  readonly version: number;
  readonly seed: number;
  readonly count: number;
  readonly size: number;
  readonly heldOut: { readonly pairs: number; readonly scenes: number };
}

function assertOptions({ count, size, seed }: MakeShapesOptions): void {
  const whole = (name: string, value: number, low: number, high: number): void => {
    if (Number.isInteger(value) && value >= low && value <= high) return;
    throw new UsageError(`--${name} is a whole number from ${low} to ${high}, and got ${value}`, {
      fix: `for example --${name} ${Math.max(low, 32)}`,
    });
  };
  whole('count', count, 1, 1_000_000);
  whole('size', size, 16, 1024);
  whole('seed', seed, 0, Number.MAX_SAFE_INTEGER);
}

/** Refuses to replace what this command did not make. */
async function assertReplaceable(out: string, force: boolean): Promise<void> {
  const inside = relative(resolve(out), process.cwd());
  if (inside === '' || !inside.startsWith('..'))
    throw new UsageError('the folder would replace the one you are in', {
      where: out,
      fix: 'name a folder of its own with --out',
    });
  let names: string[];
  try {
    names = await readdir(out);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new DataError('the place for the images is not a folder to write to', {
      where: out,
      fix: 'name another with --out',
      cause: error,
    });
  }
  const ours = names.includes('about.json') && names.every((name) => OWN_FILES.includes(name));
  if (names.length === 0 || ours || force) return;
  throw new UsageError('the folder holds files that this command did not write', {
    where: out,
    fix: 'name another folder with --out, or replace this one with --force',
  });
}

function stem(index: number): string {
  return String(index).padStart(6, '0');
}

/** Draws and writes the images `from` … `to` − 1 with their captions. */
async function writeSheet(
  folder: string,
  from: number,
  to: number,
  options: MakeShapesOptions,
): Promise<void> {
  const { seed, size } = options;
  const items = Array.from({ length: to - from }, (_, i) => {
    const random = new RandomStream(seed, 'shapes', from + i);
    const scene = randomScene(random);
    return { scene, key: [seed, from + i], caption: captionOf(scene, random) };
  });
  const images = await renderScenes(items, size);
  await Promise.all(
    images.map(async (pixels, i) => {
      const path = join(folder, stem(from + i));
      const png = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      await writeFile(`${path}.png`, png);
      await writeFile(`${path}.txt`, `${items[i]!.caption}\n`);
    }),
  );
}

async function writeImages(folder: string, options: MakeShapesOptions): Promise<void> {
  const { count, size, progress = SILENT, signal } = options;
  const sheet = Math.max(1, Math.min(SHEET, Math.floor((SHEET * 32) / size)));
  const starts = Array.from({ length: Math.ceil(count / sheet) }, (_, i) => i * sheet);
  let done = 0;
  progress.start('drawing', count);
  await mapConcurrently(starts, SHEETS_AT_ONCE, async (from) => {
    if (signal?.aborted) throw new InterruptedError('stopped; the unfinished folder is removed');
    const to = Math.min(count, from + sheet);
    await writeSheet(folder, from, to, options);
    done += to - from;
    progress.update(done);
  });
  progress.stop();
}

/**
 * Writes `images/000000.png` … with same-stem `.txt` captions, `heldout.json` and `about.json` into `out`,
 * whole or not at all. Throws UsageError for values out of range or a folder that something else made.
 */
export async function makeShapes(options: MakeShapesOptions): Promise<ShapesAbout> {
  assertOptions(options);
  await assertReplaceable(options.out, options.force ?? false);
  const about: ShapesAbout = {
    madeBy: 'mm data make-shapes',
    version: SHAPES_VERSION,
    seed: options.seed,
    count: options.count,
    size: options.size,
    heldOut: { pairs: HELD_OUT_PAIRS.length, scenes: HELD_OUT_PAIRINGS.length },
  };
  await writeFolderAtomic(options.out, async (folder) => {
    const images = join(folder, 'images');
    await mkdir(images);
    await writeImages(images, options);
    await writeFile(join(folder, 'heldout.json'), `${JSON.stringify(heldOutDescription(), null, 2)}\n`);
    await writeFile(join(folder, 'about.json'), `${JSON.stringify(about, null, 2)}\n`);
  });
  return about;
}
