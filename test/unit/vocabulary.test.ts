// Words that were retired do not come back: one thing has one name (docs/GLOSSARY.md).

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RETIRED_KEYS } from '../../src/config/retired.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Retired {
  readonly word: RegExp;
  readonly say: string;
  /** Paths that the rule is about; all without it. */
  readonly within?: RegExp;
  /** Uses that are something else, as `path: line`. */
  readonly except?: readonly { readonly use: RegExp; readonly because: string }[];
}

/** The word alone, and as a part of a name in camelCase or snake_case. */
function word(stem: string, endings = 's?'): RegExp {
  const upper = stem[0]?.toUpperCase() + stem.slice(1);
  return new RegExp(`(?<![A-Za-z])${stem}${endings}(?![a-z])|${upper}${endings}(?![a-z])`);
}

/** What old files are read by. */
const OLD_NAMES = {
  use: /^src\/(config\/retired|data\/tokens\/manifest|checkpoint\/\w+|report\/run\/record)\.ts|^docs\/FORMATS\.md: .*was called/,
  because: 'the names in files of old formats',
};

const RETIRED: readonly Retired[] = [
  // Images and text
  {
    word: word('picture', '(s|d)?'),
    say: 'image',
    except: [
      {
        use: /^src\/data\/shapes\/.*a picture of/,
        because: 'captions of the shapes are data: their text follows from the seed',
      },
      OLD_NAMES,
      { use: /'bench picture'/, because: 'the name of a random stream decides its numbers' },
    ],
  },
  // Models
  { word: word('artist'), say: 'pipeline' },
  { word: word('foreign'), say: 'external' },
  { word: /[Ll]ucid(?!rains)/, say: 'dalle-pytorch, dallePytorch' },
  {
    word: /\bownRow\b/,
    say: 'axial-row',
    except: [OLD_NAMES],
  },
  {
    word: /\bcorner\b/,
    say: 'conv-like',
    within: /^(src\/(config|nn|models|inference|convert)|docs|README)/,
    except: [OLD_NAMES],
  },
  // Training
  { word: word('trainee'), say: 'task' },
  { word: /\bstep sizes?\b|\bstepSizes?\b/i, say: 'learning rate' },
  { word: word('rhythm'), say: 'schedule' },
  {
    word: /\baveraging\b|\b[Aa]verage of the iterates|\baveraged (iterates|weights)/,
    say: 'EMA',
    except: [OLD_NAMES, { use: /also called averaged iterates/, because: 'the explanation of EMA' }],
  },
  {
    word: /\bgoOn\b|\bg(o|oes|oing|one) on (with|from)\b|\bgoing on\b/,
    say: 'resume, continue',
    except: [OLD_NAMES],
  },
  {
    word: /\bleads\b/,
    say: 'isPrimary, worker 0',
    except: [{ use: /leads (to|somewhere)/, because: 'where a link or a path ends' }],
  },
  { word: /\bthe first worker\b/i, say: 'worker 0' },
  {
    word: new RegExp(
      `(?<![\\w.])(${Object.values(RETIRED_KEYS)
        .flat()
        .map(([old]) => old.replaceAll('.', '\\.'))
        .join('|')})\\b`,
    ),
    say: 'the key of docs/CONFIG.md',
    except: [OLD_NAMES],
  },
  // Workers
  { word: /\b[Dd]oors?\b|\bknock(s|ed|ing)?\b/, say: 'listener, connect' },
  { word: word('stranger'), say: 'unexpected connection, HandshakeError' },
  { word: word('meeting'), say: 'rendezvous' },
  // Engine
  { word: /\bnotBefore\b/, say: 'withControlDependency' },
  { word: /\bkept\(/, say: 'checkpointed(' },
  // Names
  { word: /\b(MOST|LEAST)_[A-Z]/, say: 'MAX_, MIN_' },
  { word: /\brefuse[A-Z]\w*/, say: 'assert…' },
  { word: /\bheed(s|ed)?\b/, say: 'throwIfAborted' },
  { word: /\bBreath\b/, say: 'EventLoopYielder' },
  { word: /\bdraw(Caption|Tokens)\b/, say: 'pickCaption, sampleTokens' },
  {
    word: word('yardstick'),
    say: 'benchmark',
    except: [{ use: /'yardsticks'|`yardsticks`/, because: 'a folder of the cache' }],
  },
  // English
  { word: /\bin place of\b/, say: 'instead of' },
  { word: /\blikeli(est|er)\b/, say: 'most likely, more likely' },
  { word: /\bmend(s|ed|ing)?\b/, say: 'fix' },
  { word: /\bof (its|their|your|our) own\b/, say: 'own, separate' },
  { word: /\bwhoever\b/, say: 'the noun' },
];

/** History quotes what was said then, and files of old formats have the keys of then. */
const EXEMPT = ['CHANGELOG.md', 'scripts/fixtures/format-1'];

function filesUnder(folder: string, kinds: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name.split(sep).join('/')}`)
    .filter((name) => kinds.test(name));
}

const FILES = [
  ...filesUnder('src', /\.(ts|cjs)$/),
  ...filesUnder('bin', /\.js$/),
  ...filesUnder('scripts', /\.(ts|mjs|cjs|py|yaml)$/),
  ...filesUnder('configs', /\.yaml$/),
  ...filesUnder('docs', /\.md$/),
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
].filter((name) => !EXEMPT.some((exempt) => name === exempt || name.startsWith(exempt)));

/** A page without what it says of retired words: the last column of the glossary's tables. */
const lineOf = (path: string, line: string): string =>
  path === 'docs/GLOSSARY.md' ? line.replace(/\|[^|]*\|$/, '|') : line;

test('a retired word is not used', () => {
  const found = FILES.flatMap((path) =>
    readFileSync(join(ROOT, path), 'utf8')
      .split('\n')
      .flatMap((text, i) => {
        const line = lineOf(path, text);
        return RETIRED.flatMap(({ word: retired, say, within, except = [] }) => {
          const use = retired.exec(line)?.[0];
          if (use === undefined || (within && !within.test(path))) return [];
          if (except.some((allowed) => allowed.use.test(`${path}: ${line}`))) return [];
          return [`${path}:${i + 1} "${use}": say ${say}`];
        });
      }),
  );
  assert.equal(found.length, 0, `\n${found.join('\n')}`);
});

test('the rules find a word alone and in names, and nothing else', () => {
  const picture = word('picture', '(s|d)?');
  for (const use of ['a picture', 'pictures', 'readPicture', 'picture_path', 'Picture'])
    assert.match(use, picture);
  for (const other of ['picturesque', 'depictured']) assert.doesNotMatch(other, picture);
  assert.match('from lucid', /[Ll]ucid(?!rains)/);
  assert.doesNotMatch('lucidrains/DALLE-pytorch', /[Ll]ucid(?!rains)/);
});

/** Letters of the glossary's table of axes. */
function shapeLetters(): Set<string> {
  const [, table = ''] = readFileSync(join(ROOT, 'docs', 'GLOSSARY.md'), 'utf8').split('## Shape letters');
  const rows = Array.from(
    table.matchAll(/^\| ([A-Za-z](?:, [A-Za-z])*) \|/gm),
    ([, letters]) => letters as string,
  );
  return new Set(rows.flatMap((letters) => letters.split(', ')));
}

test('each letter of a shape suffix is in the glossary, and at the head of its file', () => {
  const letters = shapeLetters();
  assert.ok(letters.size > 15);
  const found = FILES.filter((path) => path.startsWith('src/')).flatMap((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    const code = text.replaceAll(/'[^'\n]*'|`[^`\n]*`/g, '');
    const used = new Set(
      Array.from(
        code.matchAll(/\b[a-z][A-Za-z]*_([A-Z][A-Za-z0-9]*)\b/g),
        ([, suffix]) => suffix as string,
      ).flatMap((suffix) => [...suffix].filter((character) => /[A-Za-z]/.test(character))),
    );
    const head = text.slice(0, text.search(/^(import|export)/m));
    const legend = head
      .split('\n')
      .filter((line) => line.startsWith('//   '))
      .join(' ');
    return [...used].flatMap((letter) => [
      ...(letters.has(letter) ? [] : [`${path}: ${letter} is not in docs/GLOSSARY.md`]),
      ...(new RegExp(`(?<![A-Za-z])${letter}(?![A-Za-z])`).test(legend)
        ? []
        : [`${path}: ${letter} is not explained at its head`]),
    ]);
  });
  assert.equal(found.length, 0, `\n${found.join('\n')}`);
});
