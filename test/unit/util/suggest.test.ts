import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closest, editDistance } from '../../../src/util/suggest.ts';

test('the distance counts insertions, deletions, substitutions and swaps of adjacent letters', () => {
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(editDistance('kitten', 'sitting'), 3);
  assert.equal(editDistance('steps', 'stpes'), 1);
  assert.equal(editDistance('same', 'same'), 0);
});

test('the closest name is suggested, and none when all are far', () => {
  const known = ['temperature', 'top-k', 'seed', 'lr'];
  assert.equal(closest('temprature', known), 'temperature');
  assert.equal(closest('TopK', known), 'top-k');
  assert.equal(closest('sede', known), 'seed');
  assert.equal(closest('lx', known), 'lr');
  assert.equal(closest('zebra', known), undefined);
  assert.equal(closest('x'.repeat(1e6), known), undefined);
});
