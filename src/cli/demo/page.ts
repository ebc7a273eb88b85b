// What the demo leaves to look at: a grid of samples and a page with everything.

import { join } from 'node:path';
import { type GalleryTable, writeGallery } from '../../report/gallery.ts';
import { type GridCell, imageGrid, RIGHT, WRONG } from '../../report/grid.ts';
import { encodePng } from '../../report/png.ts';
import { writeFileAtomic } from '../../util/files.ts';
import { type HeldOutKind, heldOutFigures, type JudgedSample } from './held-out.ts';

export interface StageResult {
  readonly seconds: number;
  readonly steps?: number;
  readonly firstLoss?: number;
  readonly lastLoss?: number;
}

const TITLES: Readonly<Record<HeldOutKind, string>> = {
  scenes: 'Scenes: two objects that were each seen, but never together',
  pairs: 'Pairs: a colour and a shape that were never seen together',
};

const IN_GRID = 16;
const COLUMNS = 8;

function cell({ pixels, size, prompt, measure }: JudgedSample): GridCell {
  return { pixels, width: size, height: size, caption: prompt, border: measure.right ? RIGHT : WRONG };
}

/** The first samples of each kind, right ones framed green; written as grid.png. */
export async function writeGrid(out: string, samples: readonly JudgedSample[]): Promise<string> {
  const shown = (['scenes', 'pairs'] as const).flatMap((kind) =>
    samples.filter((sample) => sample.kind === kind).slice(0, IN_GRID),
  );
  const path = join(out, 'grid.png');
  await writeFileAtomic(
    path,
    await imageGrid(shown.map(cell), {
      columns: COLUMNS,
      kernel: 'lanczos3',
      title: 'Prompts that nobody trained on: scenes, then pairs',
    }),
  );
  return path;
}

const percent = ({ samples, right }: { samples: number; right: number }): string =>
  `${Math.round((100 * right) / samples)} %`;

/** index.html, whole in itself. */
export async function writePage(
  out: string,
  samples: readonly JudgedSample[],
  stages: Readonly<Record<string, StageResult>>,
): Promise<string> {
  const figures = heldOutFigures(samples);
  const table: GalleryTable = {
    title: 'Stages',
    columns: ['stage', 'seconds', 'steps', 'first loss', 'last loss'],
    rows: Object.entries(stages).map(([name, { seconds, steps, firstLoss, lastLoss }]) => [
      name,
      Math.round(seconds),
      steps,
      firstLoss && Number(firstLoss.toFixed(3)),
      lastLoss && Number(lastLoss.toFixed(3)),
    ]),
  };
  const sections = await Promise.all(
    (['scenes', 'pairs'] as const).map(async (kind) => ({
      title: TITLES[kind],
      text: `${figures[kind].right} of ${figures[kind].samples} samples show every object in its colour, shape and place. None was left out.`,
      cards: await Promise.all(
        samples
          .filter((sample) => sample.kind === kind)
          .map(async ({ pixels, size, prompt, seed, measure }) => ({
            png: await encodePng(pixels, size, size),
            prompt,
            seed,
            mark: measure.right ? ('right' as const) : ('wrong' as const),
          })),
      ),
    })),
  );
  const path = join(out, 'index.html');
  await writeGallery(path, {
    title: 'mm demo',
    subtitle: 'Pictures for captions that the model never saw, judged from their pixels',
    figures: [
      { value: percent(figures.scenes), label: 'of held-out scenes right' },
      { value: percent(figures.pairs), label: 'of held-out pairs right' },
    ],
    tables: [table],
    sections,
    footer: 'mm demo',
  });
  return path;
}
