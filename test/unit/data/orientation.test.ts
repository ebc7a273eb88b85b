import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mirror, reorient } from '../../../src/data/orientation.ts';

const pixels = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);

test('a mirror reverses the columns', () => {
  assert.deepEqual([...mirror(pixels, 2)], [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
});

test('orientation 6 is a quarter turn clockwise, 8 turns it back', () => {
  const turned = reorient(pixels, 2, 6);
  assert.deepEqual([...turned], [7, 8, 9, 1, 2, 3, 10, 11, 12, 4, 5, 6]);
  assert.deepEqual(reorient(turned, 2, 8), pixels);
});

test('orientation 1 and unknown ones leave the image unchanged', () => {
  for (const orientation of [0, 1, 9]) assert.deepEqual(reorient(pixels, 2, orientation), pixels);
});
