// The files of mm sample: a PNG of each image as soon as it is finished, a grid that grows, and a page.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PreviewImage } from '../../api/options.ts';
import { UNSAMPLED } from '../../api/preview.ts';
import type { SampledImage } from '../../api/sample.ts';
import { imageGrid } from '../../report/images/grid.ts';
import type { GridCell } from '../../report/images/grid-layout.ts';
import { safeFileName } from '../../report/images/png.ts';
import { graphemes } from '../../report/images/text.ts';
import type { GalleryCard, GallerySection } from '../../report/pages/gallery.ts';
import { writeGallery } from '../../report/pages/gallery.ts';
import { writeFileAtomic } from '../../util/files.ts';

/** Most images in a grid and in a page: no program opens a file with many thousands. */
const MAX_CELLS = 256;
const MAX_CARDS = 2048;
/** Most characters of a prompt in a heading. */
const TITLE_LENGTH = 120;

export interface OutputOptions {
  readonly folder: string;
  readonly prompts: number;
  /** Images written for each prompt. */
  readonly kept: number;
  /** Columns of the grid; undefined for a number that fits. */
  readonly columns: number | undefined;
  /** Whether a grid is written. */
  readonly hasGrid: boolean;
}

/** A card, and the beginning that the model completed to the prompt. */
type Card = GalleryCard & { readonly from: string | undefined };

export class SampleOutput {
  readonly grid: string | undefined;
  readonly page: string;
  readonly #options: OutputOptions;
  readonly #cells: GridCell[] = [];
  readonly #cards: Card[] = [];
  /** What all images have in common, shown on the page. */
  #facts: Record<string, string | number> = {};
  #checkpoint = '';
  /** Title of the grid. */
  #title: string | undefined;
  #files = 0;
  #nextIndex: number | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.grid = options.hasGrid ? join(options.folder, 'grid.png') : undefined;
    this.page = join(options.folder, 'index.html');
  }

  get count(): number {
    return this.#files;
  }

  /** Writes an image under a free name; returns its path. */
  async add(image: SampledImage): Promise<string> {
    const { prompt, seed, pixels, size, score, settings, completedFrom, metadata } = image;
    const { folder } = this.#options;
    this.#nextIndex ??= await firstFree(folder);
    const file = join(folder, `${safeFileName(prompt, this.#nextIndex++)}.png`);
    const png = await image.png();
    await writeFileAtomic(file, png);
    this.#files++;
    const { checkpoint = '', negative, prime } = metadata;
    this.#checkpoint = checkpoint;
    this.#facts = {
      ...settings,
      ...(negative !== undefined && { negative }),
      ...(prime !== undefined && { 'image tokens kept of another image': prime.split(' ').length }),
    };
    if (this.#cells.length < MAX_CELLS) {
      // A copy of the pixels: a view would keep the whole batch in memory.
      this.#cells.push(this.#cell(Uint8Array.from(pixels), size, prompt, score));
    }
    if (this.#cards.length < MAX_CARDS)
      this.#cards.push({ png, prompt, seed, from: completedFrom, ...(score !== undefined && { score }) });
    return file;
  }

  /**
   * Writes the grid as it is now: finished images, unfinished ones, and grey cells for those to come.
   * @param total cells of the finished grid; undefined where it is not known
   * @returns the PNG; undefined where there is no grid
   */
  async preview(unfinished: readonly PreviewImage[], total: number | undefined): Promise<Buffer | undefined> {
    if (this.grid === undefined) return undefined;
    const unfinishedCells = unfinished.map(({ pixels, size, prompt }) =>
      this.#cell(pixels, size, prompt, undefined),
    );
    const cells = [...this.#cells, ...unfinishedCells].slice(0, MAX_CELLS);
    const [first] = cells;
    if (first === undefined) return undefined;
    const grey = new Uint8Array(first.pixels.length).fill(UNSAMPLED);
    while (cells.length < Math.min(total ?? 0, MAX_CELLS))
      cells.push({ ...first, pixels: grey, caption: '' });
    const title = this.#title;
    const png = await imageGrid(cells, { columns: this.#columns(), ...(title !== undefined && { title }) });
    await writeFileAtomic(this.grid, png);
    return png;
  }

  /** Writes the grid and the page of the finished images; returns the grid's PNG. */
  async finish(): Promise<Buffer | undefined> {
    if (this.#files === 0) return undefined;
    const png = await this.preview([], undefined);
    await writeGallery(this.page, {
      title: 'Samples',
      subtitle: this.#checkpoint,
      facts: this.#facts,
      sections: this.#sections(),
      ...(this.#files > this.#cards.length && {
        footer: `The first ${this.#cards.length} of ${this.#files} images; the others are in the folder.`,
      }),
    });
    return png;
  }

  /** A single prompt is the title of the grid; with several, each cell has its prompt. */
  #cell(pixels: Uint8Array, size: number, prompt: string, score: number | undefined): GridCell {
    if (this.#options.prompts === 1) this.#title = prompt;
    const words = [score?.toFixed(3), this.#options.prompts === 1 ? undefined : prompt];
    const caption = words.filter((word) => word !== undefined).join(' ');
    return { pixels, width: size, height: size, caption };
  }

  #columns(): number {
    const { columns, kept, prompts } = this.#options;
    // With several prompts, each has its own row.
    return columns ?? Math.min(8, prompts > 1 && kept > 1 ? kept : Math.ceil(Math.sqrt(prompts * kept)));
  }

  /** A section for each prompt; a single one where each prompt has one image. */
  #sections(): GallerySection[] {
    if (this.#options.kept === 1) return [{ title: 'Images', cards: this.#cards }];
    const groups = new Map<string, Card[]>();
    for (const card of this.#cards) {
      const own = groups.get(card.prompt);
      if (own) own.push(card);
      else groups.set(card.prompt, [card]);
    }
    return [...groups].map(([prompt, cards]) => {
      const short = graphemes(prompt).slice(0, TITLE_LENGTH).join('');
      const from = cards[0]?.from;
      const texts = [
        ...(short === prompt ? [] : [prompt]),
        ...(from === undefined ? [] : [from === '' ? 'Written by the model.' : `Completed from “${from}”.`]),
      ];
      return {
        title: short === prompt ? prompt : `${short}…`,
        cards: cards.map((card) => ({ ...card, showsPrompt: false })),
        ...(texts.length > 0 && { text: texts.join(' ') }),
      };
    });
  }
}

const NUMBERED = /^(\d{4,})-.*\.png$|^(\d{4,})\.png$/;

/** The number after the highest one in the names of the folder's images. */
async function firstFree(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const taken = names
    .map((name) => NUMBERED.exec(name))
    .map((match) => Number(match?.[1] ?? match?.[2] ?? -1));
  return Math.max(-1, ...taken) + 1;
}
