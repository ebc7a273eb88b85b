import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCsv } from '../../../../src/data/sources/csv.ts';

const rows = (text: string, separator: ',' | '\t' = ','): (readonly string[])[] =>
  parseCsv(text, separator).map(({ cells }) => cells);

test('cells are split at the separator, rows at either line break', () => {
  assert.deepEqual(rows('a,b\r\n1,\n'), [
    ['a', 'b'],
    ['1', ''],
  ]);
  assert.deepEqual(rows('a,b\tc\n', '\t'), [['a,b', 'c']]);
  assert.deepEqual(rows('a,b'), [['a', 'b']]);
  assert.deepEqual(rows(''), []);
});

test('a quoted cell may hold separators, line breaks and doubled quotes, and stand between spaces', () => {
  assert.deepEqual(rows('"a, ""b""\nc",d\n "e,f" ,g'), [
    ['a, "b"\nc', 'd'],
    ['e,f', 'g'],
  ]);
});

test('quotes inside a cell are text, and so is one that is never closed', () => {
  assert.deepEqual(rows('5" x,"a"b\n"open,c'), [
    ['5" x', '"a"b'],
    ['"open', 'c'],
  ]);
});

test('empty lines are left out; rows know the line they start in', () => {
  assert.deepEqual(
    parseCsv('a\n\n"b\nb",\n,\nc', ',').map(({ cells, line }) => [cells.length, line]),
    [
      [1, 1],
      [2, 3],
      [2, 5],
      [1, 6],
    ],
  );
});
