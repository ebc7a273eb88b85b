import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { configReference } from '../../../src/config/reference.ts';

test('docs/CONFIG.md is what the schemas say', () => {
  const written = readFileSync(new URL('../../../docs/CONFIG.md', import.meta.url), 'utf8');
  assert.equal(written, configReference(), 'run node --import tsx scripts/config-docs.ts');
});

const isRow = (line: string): boolean => line.startsWith('| `');

test('rows are short, and what is longer is a note below the table', () => {
  const lines = configReference().split('\n');
  assert.deepEqual(
    lines.filter((line) => isRow(line) && line.length > 210),
    [],
  );
  assert.deepEqual(
    lines.filter((line) => !isRow(line) && line.length > 120),
    [],
  );
  const starred = lines.filter((line) => isRow(line) && line.endsWith(' * |'));
  const notes = lines.filter((line) => /^- `[\w.]+`: /.test(line));
  assert.deepEqual(
    notes.map((line) => /`([\w.]+)`/.exec(line)?.[1]),
    starred.map((line) => /`([\w.]+)`/.exec(line)?.[1]),
  );
  assert.ok(notes.length > 10);
});

test('a list of a fixed length says so', () => {
  assert.match(configReference(), /`model\.image\.mean` \| a list of 3, each a number \|/);
});

test('every key has a description', () => {
  const undescribed = configReference()
    .split('\n')
    .filter((line) => isRow(line) && line.endsWith('|  |'));
  assert.deepEqual(undescribed, []);
});
