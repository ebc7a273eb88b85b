// Numbers with the noun they count.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counted } from '../../../src/util/counted.ts';

test('one is singular, any other number plural', () => {
  assert.deepEqual(
    [0, 1, 2, 21].map((count) => counted(count, 'image')),
    ['0 images', '1 image', '2 images', '21 images'],
  );
  assert.equal(counted(1, 'loss', 'losses'), '1 loss');
  assert.equal(counted(2, 'loss', 'losses'), '2 losses');
});
