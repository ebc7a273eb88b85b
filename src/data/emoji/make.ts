// `mm data make-emoji`: a folder of captioned images, rendered from an emoji font of the system. Captions are the short
// names of Unicode's list of emoji (emoji-test.txt, https://www.unicode.org/reports/tr51).

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { mapConcurrently } from '../../util/concurrent.ts';
import { DataError, InterruptedError } from '../../util/errors.ts';
import { assertNewFolder, readTextFile, writeFolderAtomic } from '../../util/files.ts';
import { type Progress, SILENT } from '../../util/progress.ts';
import { type Emoji, parseEmojiList } from './list.ts';

/** Emoji rendered at a time. */
const MAX_RENDERED = 4;
const BACKGROUND = '#ffffff';
const PACKAGES = 'on Debian and Ubuntu: apt-get install fonts-noto-color-emoji unicode-data';

export interface MakeEmojiOptions {
  readonly out: string;
  /** Family of the font, as fontconfig knows it. */
  readonly font: string;
  /** Unicode's emoji-test.txt. */
  readonly names: string;
  /** Pixels on a side. */
  readonly size: number;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

export interface EmojiAbout {
  readonly font: string;
  readonly size: number;
  /** Images written. */
  readonly count: number;
  /** Names of emoji that the font does not have. */
  readonly missing: readonly string[];
}

interface Glyph {
  readonly png: Buffer;
  readonly width: number;
  readonly height: number;
}

/** The text as pango lays it out: one glyph where the font has the sequence, several or a box where it has not. */
async function renderText(text: string, { font, size }: MakeEmojiOptions): Promise<Glyph> {
  const markup = `<span fallback="false" font="${font.replace(/[&<>"]/g, '')} ${size}">${text}</span>`;
  const { data, info } = await sharp({ text: { text: markup, rgba: true, dpi: 72 } })
    .png()
    .toBuffer({ resolveWithObject: true });
  return { png: data, width: info.width, height: info.height };
}

/** The glyph in the middle of a white square. */
function onSquare({ png }: Glyph, size: number): Promise<Buffer> {
  return sharp(png)
    .resize(size, size, { fit: 'contain', background: BACKGROUND })
    .flatten({ background: BACKGROUND })
    .png()
    .toBuffer();
}

/** The size of a glyph of the font. Throws DataError when it has none of the list's first emoji in colour. */
async function glyphSize(first: Emoji, options: MakeEmojiOptions): Promise<Pick<Glyph, 'width' | 'height'>> {
  const glyph = await renderText(first.text, options).catch(() => undefined);
  const { channels } = glyph ? await sharp(glyph.png).stats() : { channels: [] };
  const [red, , blue] = channels;
  if (glyph && red?.mean !== blue?.mean) return glyph;
  throw new DataError(`no font with colour emoji is called ${options.font}`, {
    code: 'E_NO_FONT',
    option: 'font',
    fix: `${PACKAGES}; fc-list lists the fonts`,
  });
}

/**
 * Writes an image and a same-stem `.txt` for each emoji of the list into `out`, whole or not at all. Emoji that the
 * font does not have are left out, and named in the result.
 * @throws UsageError when `out` is there already; DataError without such a font or list; InterruptedError
 */
export async function makeEmoji(options: MakeEmojiOptions): Promise<EmojiAbout> {
  const { out, font, names, size, progress = SILENT, signal } = options;
  await assertNewFolder(out);
  const emoji = parseEmojiList(await readTextFile(names, 'list of emoji', PACKAGES), names);
  const { width, height } = await glyphSize(emoji[0] as Emoji, options);
  const missing: string[] = [];
  await writeFolderAtomic(out, async (folder) => {
    let done = 0;
    progress.start('rendering', emoji.length);
    await mapConcurrently(emoji, MAX_RENDERED, async ({ text, stem, name }) => {
      if (signal?.aborted)
        throw new InterruptedError('stopped; the unfinished folder is removed', { code: 'E_INTERRUPTED' });
      const glyph = await renderText(text, options);
      if (glyph.width !== width || glyph.height !== height) missing.push(name);
      else {
        await writeFile(join(folder, `${stem}.png`), await onSquare(glyph, size));
        await writeFile(join(folder, `${stem}.txt`), `${name}\n`);
      }
      progress.update(++done);
    }).finally(() => progress.stop());
  });
  return { font, size, count: emoji.length - missing.length, missing: missing.sort() };
}
