// The demo's grid of samples and its page.

import { join } from 'node:path';
import { imageGrid, RIGHT, WRONG } from '../../../report/images/grid.ts';
import type { GridCell } from '../../../report/images/grid-layout.ts';
import { encodePng } from '../../../report/images/png.ts';
import { type GalleryTable, writeGallery } from '../../../report/pages/gallery.ts';
import { writeFileAtomic } from '../../../util/files.ts';
import {
  HELD_OUT_KINDS,
  type HeldOutKind,
  heldOutCounts,
  type JudgedPrompt,
  type JudgedSample,
  rankedCounts,
} from './held-out.ts';

export interface StageResult {
  readonly seconds: number;
  readonly steps?: number;
  readonly firstLoss?: number;
  readonly lastLoss?: number;
}

const TITLES: Readonly<Record<HeldOutKind, string>> = {
  scenes: 'Scenes: two objects that were each in the training data, but never together',
  pairs: 'Pairs: a colour and a shape that were never together in the training data',
};

/** Prompts of each kind in the grid. */
const GRID_PROMPTS = 16;
const COLUMNS = 8;

function cell({ pixels, size, prompt, measure }: JudgedSample): GridCell {
  return { pixels, width: size, height: size, caption: prompt, border: measure.isCorrect ? RIGHT : WRONG };
}

const ofKind = (judged: readonly JudgedPrompt[], kind: HeldOutKind): JudgedPrompt[] =>
  judged.filter((prompt) => prompt.kind === kind);

/** Writes grid.png: the first sample of the first prompts of each kind, unranked; right ones have a green frame. */
export async function writeGrid(out: string, judged: readonly JudgedPrompt[]): Promise<string> {
  const shown = HELD_OUT_KINDS.flatMap((kind) =>
    ofKind(judged, kind)
      .slice(0, GRID_PROMPTS)
      .map(({ samples }) => samples[0] as JudgedSample),
  );
  const path = join(out, 'grid.png');
  await writeFileAtomic(
    path,
    await imageGrid(shown.map(cell), {
      columns: COLUMNS,
      kernel: 'lanczos3',
      title: 'Held-out prompts: scenes, then pairs',
    }),
  );
  return path;
}

/** "83 %" */
export const percent = ({ samples, right }: { samples: number; right: number }): string =>
  `${Math.round((100 * right) / samples)} %`;

/**
 * Writes index.html, a single self-contained file: all samples, each prompt's in the order of CLIP's scores.
 * @param note a remark under the title
 */
export async function writePage(
  out: string,
  judged: readonly JudgedPrompt[],
  stages: Readonly<Record<string, StageResult>>,
  note?: string,
): Promise<string> {
  const all = heldOutCounts(judged);
  const ranked = rankedCounts(judged);
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
    HELD_OUT_KINDS.map(async (kind) => ({
      title: TITLES[kind],
      text:
        `${all[kind].right} of ${all[kind].samples} samples show every object in its colour, shape and place; ` +
        `of those that CLIP ranks first, ${ranked[kind].right} of ${ranked[kind].samples}. None was left out.`,
      cards: await Promise.all(
        ofKind(judged, kind)
          .flatMap(({ samples }) => samples.toSorted((a, b) => b.score - a.score))
          .map(async ({ pixels, size, prompt, seed, measure, score }) => ({
            png: await encodePng(pixels, size, size),
            prompt,
            seed,
            score,
            mark: measure.isCorrect ? ('right' as const) : ('wrong' as const),
          })),
      ),
    })),
  );
  const path = join(out, 'index.html');
  await writeGallery(path, {
    title: 'mm demo',
    subtitle: ['Images for held-out captions, judged from their pixels', note]
      .filter((text) => text !== undefined)
      .join('. '),
    figures: [
      { value: percent(all.scenes), label: 'of held-out scenes right' },
      { value: percent(all.pairs), label: 'of held-out pairs right' },
      { value: percent(ranked.scenes), label: 'of scenes, ranked by CLIP' },
      { value: percent(ranked.pairs), label: 'of pairs, ranked by CLIP' },
    ],
    tables: [table],
    sections,
    footer: 'mm demo',
  });
  return path;
}
