// Errors for users: each has a code, and below the command line none names a flag.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asUserError } from '../../src/util/errors.ts';

const SOURCES = fileURLToPath(new URL('../../src', import.meta.url));

interface Throw {
  /** src/room/file.ts:line */
  readonly place: string;
  /** The text between the parentheses. */
  readonly details: string;
}

/** The classes of util/errors.ts; a subclass gives its code to `super`. */
const CLASSES = 'UsageError|DataError|EngineError|InterruptedError';
const SUBCLASS = new RegExp(`\\bclass \\w+ extends (?:${CLASSES})\\b[\\s\\S]*?\\bsuper(\\()`, 'g');

/** The text from the parenthesis at `start` to the one that closes it; strings may hold parentheses. */
function parenthesized(text: string, start: number): string {
  let depth = 0;
  let quote = '';
  for (let i = start; i < text.length; i++) {
    const character = text[i]!;
    if (character === '\\') i++;
    else if (quote !== '') quote = character === quote ? '' : quote;
    else if (`'"\``.includes(character)) quote = character;
    else if (character === '(') depth++;
    else if (character === ')' && --depth === 0) return text.slice(start, i);
  }
  return text.slice(start);
}

function findThrows(files: Readonly<Record<string, string>>): Throw[] {
  return Object.entries(files).flatMap(([file, text]) =>
    [...text.matchAll(new RegExp(`\\bnew (?:${CLASSES})(\\()`, 'g')), ...text.matchAll(SUBCLASS)].map(
      (match) => {
        const start = match.index + match[0].length - 1;
        return {
          place: `src/${file}:${text.slice(0, start).split('\n').length}`,
          details: parenthesized(text, start),
        };
      },
    ),
  );
}

const files = Object.fromEntries(
  readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => [name, readFileSync(join(SOURCES, name), 'utf8')]),
);
const throws = findThrows(files);

test('the reader of throw sites sees subclasses, and reads past parentheses in texts', () => {
  const found = findThrows({
    'a.ts':
      "class TooLong extends UsageError {\n  constructor(n) {\n    super('a) (b', { code: 'E_X' });\n  }\n}",
    'b.ts': "throw new TooLong(3);\n\nnew UsageError(f(`(`) + ')');\nnew Error('no');",
  });
  assert.deepEqual(found, [
    { place: 'src/a.ts:3', details: "('a) (b', { code: 'E_X' }" },
    { place: 'src/b.ts:3', details: "(f(`(`) + ')'" },
  ]);
  assert.ok(throws.length > 200);
});

test('every error for users has a code', () => {
  const without = throws
    .filter(({ details }) => !/\bcode\b\s*[:,}]|, details$|\.\.\.(details\b|\w+\()/.test(details))
    .map(({ place }) => place);
  assert.deepEqual(without, []);
});

test('a code is E_ and words in capitals', () => {
  const odd = throws.flatMap(({ place, details }) =>
    [...details.matchAll(/\bcode: '([^']*)'/g)]
      .filter(([, code]) => !/^E(_[A-Z][A-Z0-9]*)+$/.test(code!))
      .map(([, code]) => `${place} ${code}`),
  );
  assert.deepEqual(odd, []);
});

/** Rooms that may name flags: the command line, the installation that serves `mm setup`, and `--set` itself. */
const MAY_NAME_FLAGS = /^src\/(cli\/|engine\/library\/|config\/set\.ts)/;

test('below the command line no error names a flag', () => {
  const naming = throws
    .filter(({ place, details }) => !MAY_NAME_FLAGS.test(place) && /[\s'"`(]--[a-z]/.test(details))
    .map(({ place, details }) => `${place} ${/--[\w-]+/.exec(details)?.[0]}`);
  assert.deepEqual(naming, []);
});

test('memory that JavaScript does not get is an error for users; other failures are not', () => {
  assert.throws(
    () => new ArrayBuffer(2 ** 45),
    (error) => asUserError(error)?.code === 'E_OUT_OF_MEMORY',
  );
  for (const other of [new RangeError('index'), new TypeError('x'), undefined])
    assert.equal(asUserError(other), undefined);
});
