// The gallery in a real browser, where there is one: it renders, its policy blocks nothing of the page, nothing runs, and
// it fits a telephone.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { encodePng } from '../../src/report/images/png.ts';
import {
  type GalleryCard,
  type GalleryPage,
  galleryHtml,
  writeGallery,
} from '../../src/report/pages/gallery.ts';
import { browse, without as skip } from '../support/chromium.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-gallery-'));
});
after(() => rm(folder, { recursive: true }));

const GREEN = [20, 160, 60] as const;
const solid = Uint8Array.from({ length: 32 * 32 * 3 }, (_, index) => GREEN[index % 3]!);

async function page(): Promise<GalleryPage> {
  const png = await encodePng(solid, 32, 32);
  const card: GalleryCard = { png, prompt: 'a green square', mark: 'right', seed: 1, score: 0.5 };
  const long = { ...card, prompt: 'verylongwordwithoutanyspaces'.repeat(8), mark: 'wrong' as const };
  return {
    title: 'Samples',
    subtitle: 'For a test',
    figures: [{ label: 'right', value: '1 of 2' }],
    tables: [{ title: 'Stages', columns: ['stage', 'seconds'], rows: [['dvae', 1.5]] }],
    facts: { temperature: 0.8, negative: 'دائرة زرقاء', completed: 'word'.repeat(60) },
    sections: [
      { title: 'Scenes', cards: [card, long, { png, prompt: 'دائرة 🙂' }] },
      {
        title: 'دائرة حمراء 🙂🙃',
        text: 'a prompt of many words '.repeat(450),
        cards: [{ ...card, showsPrompt: false }],
      },
      { title: 'x'.repeat(120), cards: [{ png, prompt: 'x'.repeat(10_000) }] },
    ],
    footer: 'mm sample',
  };
}

test('the page shows its images, and its policy blocks nothing of the page', { skip }, async () => {
  const path = join(folder, 'page.html');
  await writeGallery(path, await page());
  for (const width of [1200, 500]) {
    const image = join(folder, `${width}.png`);
    const { stderr } = await browse(
      `--screenshot=${image}`,
      `--window-size=${width},1400`,
      pathToFileURL(path).href,
    );
    assert.doesNotMatch(stderr, /CONSOLE|Content Security Policy|Refused/);
    const { data, info } = await sharp(await readFile(image))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    let green = 0;
    for (let at = 0; at < data.length; at += 3)
      if (GREEN.every((value, channel) => Math.abs(data[at + channel]! - value) < 3)) green++;
    assert.ok(green > 3 * 100 * 100, `only ${green} pixels of the images at ${width} × ${info.height}`);
  }
});

test('the page fits a narrow window, and every image has a text alternative', { skip }, async () => {
  // A frame 360 pixels wide, measured by a script of the page around it.
  const inner = galleryHtml(await page());
  const outer = `<!doctype html><iframe id="f" width="360" height="800"></iframe><script>
    const frame = document.getElementById('f');
    frame.onload = () => {
      const { documentElement: root, images } = frame.contentDocument;
      const paragraphs = [...frame.contentDocument.querySelectorAll('p')];
      document.title = JSON.stringify({ scroll: root.scrollWidth, client: root.clientWidth,
        clipped: paragraphs.filter((p) => p.scrollWidth > p.clientWidth).length,
        tall: root.scrollHeight > 6000, rightToLeft: getComputedStyle(paragraphs.find((p) => p.textContent.startsWith('د'))).direction,
        alts: [...images].every((image) => image.alt !== '' && image.naturalWidth === 32), count: images.length });
    };
    frame.srcdoc = ${JSON.stringify(inner).replaceAll('<', '\\u003c')};
  </script>`;
  const path = join(folder, 'outer.html');
  await writeFile(path, outer);
  const { stdout } = await browse('--dump-dom', '--virtual-time-budget=5000', pathToFileURL(path).href);
  const measured = JSON.parse(/<title>(.*?)<\/title>/.exec(stdout)?.[1] ?? 'null') as Record<string, unknown>;
  assert.deepEqual(measured, {
    scroll: measured.client,
    client: measured.client,
    clipped: 0,
    tall: false,
    rightToLeft: 'rtl',
    alts: true,
    count: 5,
  });
});

test('a script that got into the page would not run', { skip }, async () => {
  const html = galleryHtml({ title: 'Samples', sections: [] });
  const altered = html.replace('<main>', '<main><script>document.title = "it ran"</script>');
  assert.notEqual(altered, html);
  const path = join(folder, 'altered.html');
  await writeFile(path, altered);
  const { stdout } = await browse('--dump-dom', pathToFileURL(path).href);
  assert.match(stdout, /<title>Samples<\/title>/);
});
