// `mm data make-shapes`: a folder of captioned images of shapes, bit for bit the same for the same seed.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import sharp from 'sharp';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError, InterruptedError, UsageError } from '../../util/errors.ts';
import { writeFolderAtomic } from '../../util/files.ts';
import { type Progress, SILENT } from '../../util/progress.ts';
import { RandomStream } from '../../util/random.ts';
import { trainingCaption } from './caption.ts';
import { HELD_OUT_PAIRINGS, HELD_OUT_PAIRS, heldOutDescription } from './heldout.ts';
import { randomScene } from './random-scene.ts';
import { renderScenes } from './render.ts';

/** Raised whenever the same seed would give other images or captions. */
export const SHAPES_VERSION = 7;

/** Sheets rendered at a time; each uses several threads of sharp. */
const MAX_SHEETS = 3;
/** Images of 32 pixels in a sheet; fewer for larger images. */
const IMAGES_PER_SHEET = 8;
/** The files of a folder that this command wrote. */
const OWN_FILES = ['about.json', 'heldout.json', 'images'];

export interface MakeShapesOptions {
  readonly out: string;
  readonly count: number;
  /** Pixels on a side. */
  readonly size: number;
  readonly seed: number;
  /** Replace a folder with other files in it. */
  readonly force?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** The contents of `about.json`, and the result of the command. */
export interface ShapesAbout {
  readonly madeBy: 'mm data make-shapes';
  readonly version: number;
  readonly seed: number;
  readonly count: number;
  readonly size: number;
  readonly heldOut: { readonly pairs: number; readonly scenes: number };
}

function assertOptions({ count, size, seed }: MakeShapesOptions): void {
  const assertWhole = (option: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return;
    throw new UsageError(
      `expected a whole number from ${min} to ${max} for \`${option}\`, received ${value}`,
      {
        code: 'E_OPTION_VALUE',
        option,
        fix: `for example ${Math.max(min, 32)}`,
      },
    );
  };
  assertWhole('count', count, 1, 1_000_000);
  assertWhole('size', size, 16, 1024);
  assertWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER);
}

/** Throws UsageError when `out` holds the working folder or files that this command did not write. */
async function assertReplaceable(out: string, force: boolean): Promise<void> {
  const inside = relative(resolve(out), process.cwd());
  if (inside === '' || !inside.startsWith('..'))
    throw new UsageError('the folder would replace the one you are in', {
      code: 'E_FOLDER_IN_USE',
      where: out,
      fix: 'name a separate folder as `out`',
    });
  let names: string[];
  try {
    names = await readdir(out);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new DataError('this is not a folder that can be written to', {
      code: 'E_NOT_A_FOLDER',
      where: out,
      fix: 'name another `out`',
      cause: error,
    });
  }
  const ours = names.includes('about.json') && names.every((name) => OWN_FILES.includes(name));
  if (names.length === 0 || ours || force) return;
  throw new UsageError('the folder holds files that this command did not write', {
    code: 'E_FOLDER_NOT_EMPTY',
    where: out,
    fix: 'name another folder as `out`, or set `force` to replace this one',
  });
}

function stem(index: number): string {
  return String(index).padStart(6, '0');
}

/** Renders and writes the images `from` … `to` − 1 with their captions. */
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
    return { scene, key: [seed, from + i], caption: trainingCaption(scene, random) };
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
  const perSheet = Math.max(1, Math.min(IMAGES_PER_SHEET, Math.floor((IMAGES_PER_SHEET * 32) / size)));
  const starts = Array.from({ length: Math.ceil(count / perSheet) }, (_, i) => i * perSheet);
  let done = 0;
  progress.start('rendering', count);
  await mapConcurrently(starts, MAX_SHEETS, async (from) => {
    if (signal?.aborted)
      throw new InterruptedError('stopped; the unfinished folder is removed', { code: 'E_INTERRUPTED' });
    const to = Math.min(count, from + perSheet);
    await writeSheet(folder, from, to, options);
    done += to - from;
    progress.update(done);
  });
  progress.stop();
}

/**
 * Writes `images/000000.png` … with same-stem `.txt` captions, `heldout.json` and `about.json` into `out`,
 * whole or not at all.
 * @throws UsageError for values out of range, or a folder with other files in it
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
