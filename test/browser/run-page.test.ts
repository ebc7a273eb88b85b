// The page of a run in a real browser, where there is one: its curves are rendered, its policy blocks nothing of the
// page, and it fits a telephone.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { encodePng } from '../../src/report/images/png.ts';
import { runHtml } from '../../src/report/pages/run-page.ts';
import type { RunHistory } from '../../src/report/run/record.ts';
import { browse, without } from '../support/chromium.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mm-run-page-'));
});
after(() => rm(folder, { recursive: true }));

async function record(): Promise<RunHistory> {
  const png = await encodePng(new Uint8Array(900 * 40 * 3).fill(90), 900, 40);
  const metrics = Array.from({ length: 600 }, (_, i) => ({
    step: i,
    values: {
      loss: 50 / (1 + i),
      learningRate: 1e-3,
      ...(i % 100 === 0 && { 'validation/loss': 40 / (1 + i), 'validation/codesUsed': i }),
    },
  }));
  return {
    name: 'a-run-of-a-very-long-name-without-any-spaces-in-it-at-all-really',
    kind: 'dvae',
    config: `seed: 0\ndata:\n  path: ${'x'.repeat(300)}\n`,
    steps: 600,
    metrics,
    samples: [{ step: 0, name: undefined, png }],
    checkpoints: [500, 600],
    sessions: [{ from: 0, to: 500, began: new Date(0), seconds: 90 }],
    warnings: ['w'.repeat(200)],
  };
}

test('curves are inside their charts, and nothing is wider than a narrow window', {
  skip: without,
}, async () => {
  const inner = runHtml(await record());
  const outer = `<!doctype html><iframe id="f" width="360" height="800"></iframe><script>
    const frame = document.getElementById('f');
    frame.onload = () => {
      const page = frame.contentDocument;
      const boxes = [...page.querySelectorAll('svg')].map((svg) => {
        const { left, right, top, bottom } = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('.line, .tick')].filter((shape) => {
          const box = shape.getBoundingClientRect();
          return box.left < left || box.right > right || box.top < top || box.bottom > bottom;
        }).map((shape) => shape.textContent || shape.getAttribute('class'));
      });
      const line = page.querySelector('.line.s0').getBoundingClientRect();
      const colours = ['.line.s0', '.line.s1'].map((name) => frame.contentWindow.getComputedStyle(page.querySelector(name)).stroke);
      document.title = JSON.stringify({ scroll: page.documentElement.scrollWidth - page.documentElement.clientWidth,
        charts: boxes.length, outside: boxes.flat(), isDrawn: line.width > 200 && line.height > 60,
        colours: new Set(colours).size, image: page.images[0].naturalWidth });
    };
    frame.srcdoc = ${JSON.stringify(inner).replaceAll('<', '\\u003c')};
  </script>`;
  const path = join(folder, 'outer.html');
  await writeFile(path, outer);
  const { stdout, stderr } = await browse(
    '--dump-dom',
    '--virtual-time-budget=5000',
    pathToFileURL(path).href,
  );
  const measured = JSON.parse(/<title>(.*?)<\/title>/.exec(stdout)?.[1] ?? 'null') as object;
  assert.deepEqual(measured, {
    scroll: 0,
    charts: 3,
    outside: [],
    isDrawn: true,
    colours: 2,
    image: 900,
  });
  assert.doesNotMatch(stderr, /Content Security Policy|Refused/);
});
