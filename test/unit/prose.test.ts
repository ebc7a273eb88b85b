// The pages: lines of prose that a diff can show, links that lead somewhere, paths that exist.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAX_COLUMNS = 120;
/** Folders whose paths, where a page names them, are of this repository. */
const FOLDERS = ['src', 'test', 'scripts', 'configs', 'bin', 'docs'];
/** Stands for names of the reader's own: `src/models/NAME/`. */
const PLACEHOLDER = /NAME|MODEL|\*|\{/;

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

interface Line {
  readonly text: string;
  readonly number: number;
  readonly isCode: boolean;
}

function linesOf(page: string): Line[] {
  let isFenced = false;
  return readFileSync(join(ROOT, page), 'utf8')
    .split('\n')
    .map((text, i) => {
      const isFence = /^\s*(```|~~~)/.test(text);
      if (isFence) isFenced = !isFenced;
      return { text, number: i + 1, isCode: isFence || isFenced || text.startsWith('    ') };
    });
}

/** The anchor that a heading gets on GitHub. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-');

const anchorsOf = (page: string): Set<string> =>
  new Set(
    linesOf(page)
      .filter(({ text, isCode }) => !isCode && /^#{1,6} /.test(text))
      .map(({ text }) => anchorOf(text.replace(/^#+ /, ''))),
  );

/** Links of Markdown that point into the repository. */
function linksOf(page: string): { target: string; number: number }[] {
  return linesOf(page).flatMap(({ text, number, isCode }) =>
    isCode
      ? []
      : Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, target]) => ({
          target: target as string,
          number,
        })).filter(({ target }) => !/^[a-z]+:/.test(target)),
  );
}

test(`no line of prose has more than ${MAX_COLUMNS} characters`, () => {
  const long = PAGES.flatMap((page) =>
    linesOf(page)
      .filter(({ text, isCode }) => !isCode && !text.trimStart().startsWith('|') && !text.startsWith('#'))
      .filter(({ text }) => [...text.replaceAll(/\]\([^)]*\)/g, ']')].length > MAX_COLUMNS)
      .map(({ number }) => `${page}:${number}`),
  );
  assert.deepEqual(long, []);
});

test('each link between pages leads to a file, and to a heading of it', () => {
  const broken = PAGES.flatMap((page) =>
    linksOf(page).flatMap(({ target, number }) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
      if (!existsSync(join(ROOT, file))) return [`${page}:${number} ${target}`];
      if (anchor === undefined || anchorsOf(file).has(anchor)) return [];
      return [`${page}:${number} ${target}`];
    }),
  );
  assert.deepEqual(broken, []);
});

test('each path of the repository that a page names exists', () => {
  const pattern = new RegExp(`(?<![\\w./~-])(?:${FOLDERS.join('|')})/[\\w./*{},-]*[\\w/*}]`, 'g');
  const missing = PAGES.flatMap((page) =>
    linesOf(page).flatMap(({ text, number }) =>
      Array.from(text.matchAll(pattern), ([path]) => path)
        .filter((path) => !PLACEHOLDER.test(path) && !existsSync(join(ROOT, path)))
        .map((path) => `${page}:${number} ${path}`),
    ),
  );
  assert.deepEqual(missing, []);
});

test('each error code that a page names is one of the sources', () => {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
    .join();
  const unknown = PAGES.flatMap((page) =>
    linesOf(page).flatMap(({ text, number }) =>
      Array.from(text.matchAll(/(?<!\w)E_[A-Z_]+/g), ([code]) => code)
        .filter((code) => !sources.includes(`'${code}'`))
        .map((code) => `${page}:${number} ${code}`),
    ),
  );
  assert.deepEqual(unknown, []);
});

test('the rooms are those of src, in README and in the architecture page', () => {
  const rooms = readdirSync(join(ROOT, 'src'));
  const [, tree = ''] = readFileSync(join(ROOT, 'README.md'), 'utf8').split(/^src\/$/m);
  const architecture = readFileSync(join(ROOT, 'docs', 'ARCHITECTURE.md'), 'utf8');
  assert.deepEqual(
    Array.from(tree.matchAll(/^ {2}([a-z]+)\/ +\S/gm), ([, room]) => room as string).sort(),
    rooms.toSorted(),
  );
  const table = Array.from(architecture.matchAll(/^\| `([a-z]+)\/` \|/gm), ([, room]) => room as string);
  assert.deepEqual(table.toSorted(), rooms.toSorted());
});
