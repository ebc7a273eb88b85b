import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePng } from '../../../../src/report/images/png.ts';
import { type GalleryPage, galleryHtml } from '../../../../src/report/pages/gallery.ts';

const png = await encodePng(new Uint8Array(12), 2, 2);
const hostile = `</style><script>alert(1)</script><img src=x onerror='a("b")'>&`;

test('no text of a page becomes markup, in any place', () => {
  const page: GalleryPage = {
    title: hostile,
    subtitle: hostile,
    figures: [{ label: hostile, value: hostile }],
    tables: [{ title: hostile, columns: [hostile], rows: [[hostile]] }],
    sections: [
      {
        title: hostile,
        text: hostile,
        cards: [
          { png, prompt: hostile, settings: { [hostile]: hostile } },
          { png, prompt: '', alt: hostile },
        ],
      },
    ],
    footer: hostile,
  };
  const html = galleryHtml(page);
  const innocent = galleryHtml(JSON.parse(JSON.stringify(page, replaceText), revivePng) as GalleryPage);
  assert.deepEqual(tags(html), tags(innocent));
  assert.ok(!html.includes('<script') && !html.includes('<img src=x'));
});

const replaceText = (_key: string, value: unknown): unknown => (value === hostile ? 'plain' : value);
const revivePng = (key: string, value: unknown): unknown => (key === 'png' ? png : value);
/** Every tag with its attributes' names, in order. */
const tags = (html: string): string[] =>
  (html.match(/<[a-z!/][^>]*>/g) ?? []).map((tag) => tag.replaceAll(/="[^"]*"/g, '='));

test('a card has its image, its text alternative, its mark and its facts', () => {
  const html = galleryHtml({
    title: 'Samples',
    sections: [
      {
        title: 'Scenes',
        cards: [
          {
            png,
            prompt: 'a red circle',
            mark: 'right',
            score: 0.123456,
            seed: 123456,
            settings: { 'top-k': 32 },
          },
        ],
      },
    ],
  });
  const encoded =
    /src="data:image\/png;base64,([^"]+)" width="2" height="2" alt="Image for “a red circle”"/.exec(html);
  assert.deepEqual(Buffer.from(encoded?.[1] ?? '', 'base64'), png);
  assert.match(html, /<li class="right">/);
  assert.match(html, /✓ right/);
  for (const fact of ['<dd>0.1235</dd>', '<dd>123456</dd>', '<dd>32</dd>'])
    assert.ok(html.includes(fact), fact);
});

test('a table aligns numbers and leaves missing values empty', () => {
  const html = galleryHtml({
    title: 'Run',
    tables: [
      {
        title: 'Stages',
        columns: ['stage', 'seconds', 'loss'],
        rows: [
          ['dvae', 12345, 0.5],
          ['data', 1.23456, undefined],
        ],
      },
    ],
    sections: [],
  });
  assert.match(html, /<td>dvae<\/td><td class="number">12,345<\/td><td class="number">0.5<\/td>/);
  assert.match(html, /<td>data<\/td><td class="number">1.235<\/td><td class="number"><\/td>/);
});
